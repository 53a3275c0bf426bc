// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"bytes"
	"fmt"
	"html"
	"strings"

	"gonum.org/v1/plot/vg"
)

// Mark is an area of a picture that is not seen, with a text. Browsers show the text to a reader who points at the
// area.
type Mark struct {
	X, Y, Width, Height vg.Length // from the lower left corner
	Text                string
}

// Marks are collected while a picture is drawn. A nil *Marks collects none.
type Marks []Mark

// Around adds a mark around a point.
func (m *Marks) Around(at vg.Point, text string) {
	const side = 7
	m.Add(Mark{at.X - vg.Points(side/2.0), at.Y - vg.Points(side/2.0), vg.Points(side), vg.Points(side), text})
}

// Between adds a mark between two corners, at least some points wide and high.
func (m *Marks) Between(a, b vg.Point, text string) {
	const least = 5
	x, y := min(a.X, b.X), min(a.Y, b.Y)
	m.Add(Mark{x, y, max(a.X, b.X, x+vg.Points(least)) - x, max(a.Y, b.Y, y+vg.Points(least)) - y, text})
}

// Add adds a mark.
func (m *Marks) Add(mark Mark) {
	if m != nil {
		*m = append(*m, mark)
	}
}

// described is an SVG with a title, a description, and its marks on top.
func described(svg []byte, title, description string, marks Marks) ([]byte, error) {
	// Text was laid out for Liberation Sans; Arial has the same widths.
	svg = bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	const open, end = "<svg ", "</g>\n</svg>"
	i := bytes.Index(svg, []byte(open))
	j := bytes.LastIndex(svg, []byte(end))
	if i < 0 || j < 0 {
		return nil, fmt.Errorf("draw: an SVG without %q or %q", open, end)
	}
	k := i + bytes.IndexByte(svg[i:], '>') + 1
	var b bytes.Buffer
	b.Write(svg[:i])
	b.WriteString(open + `role="img" `)
	b.Write(svg[i+len(open) : k])
	fmt.Fprintf(&b, "\n<title>%s</title>\n<desc>%s</desc>", html.EscapeString(title), html.EscapeString(description))
	b.Write(svg[k:j])
	if len(marks) > 0 {
		b.WriteString("<g class=\"marks\" fill=\"#000\" fill-opacity=\"0\">\n")
		for _, m := range marks {
			fmt.Fprintf(&b, "<rect x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\"><title>%s</title></rect>\n",
				points(m.X), points(m.Y), points(m.Width), points(m.Height), html.EscapeString(m.Text))
		}
		b.WriteString("</g>\n")
	}
	b.Write(svg[j:])
	return b.Bytes(), nil
}

// points is a length in points, with one decimal unless that is 0.
func points(l vg.Length) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", l.Points()), ".0")
}

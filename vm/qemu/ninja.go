// SPDX-License-Identifier: Apache-2.0

package qemu

import (
	"bytes"
	"fmt"
	"io"

	"github.com/ds2-lab/alps/internal/progress"
)

// ninjaProgress passes Ninja's output on and reads "[done/total]" from it.
type ninjaProgress struct {
	log  io.Writer
	step *progress.Step
	rest []byte // a line that has not ended
}

func (p *ninjaProgress) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		line, rest, ended := bytes.Cut(p.rest, []byte("\n"))
		if !ended {
			break
		}
		p.rest = rest
		var done, total int
		if n, _ := fmt.Sscanf(string(line), "[%d/%d]", &done, &total); n == 2 && total > 0 {
			p.step.Frac(float64(done) / float64(total))
		}
	}
	return p.log.Write(b)
}

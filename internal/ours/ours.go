// SPDX-License-Identifier: Apache-2.0

// Package ours removes files that this project has made, as their names prove, and
// leaves the other files beside them.
//
// A form is a regular expression for the whole path of a file below the directory,
// with slashes. A file whose path has a form counts as made by this project: only
// its programs give such names there. Symbolic links count as files and are not followed.
package ours

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// Remove removes dir if the name of every file in it has one of forms; else it removes
// nothing, and the error names a file that has none of them. A dir that does not exist
// is no error.
func Remove(dir string, forms ...string) error {
	_, others, _, err := sort(dir, forms)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return fmt.Errorf("%s is not removed: ALPS did not make %s in it; move it away, or take another directory", dir, others[0])
	}
	return os.RemoveAll(dir)
}

// Prune removes the files below dir that have one of forms, and the directories
// that are empty then, dir too. It returns the files that it left, by their path
// from dir. A dir that is not there is no error.
func Prune(dir string, forms ...string) (left []string, err error) {
	files, others, dirs, err := sort(dir, forms)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Backward(dirs) {
		_ = os.Remove(filepath.Join(dir, name)) // what is not empty stays
	}
	return others, nil
}

// sort looks at all that is below dir: files that have a form, others, and the
// directories, dir first.
func sort(dir string, forms []string) (files, others, dirs []string, err error) {
	var res []*regexp.Regexp
	for _, f := range forms {
		res = append(res, regexp.MustCompile("^(?:"+f+")$"))
	}
	if _, err := os.Lstat(dir); os.IsNotExist(err) {
		return nil, nil, nil, nil
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case e.IsDir():
			dirs = append(dirs, name)
		case slices.ContainsFunc(res, func(re *regexp.Regexp) bool { return re.MatchString(filepath.ToSlash(name)) }):
			files = append(files, name)
		default:
			others = append(others, name)
		}
		return nil
	})
	return files, others, dirs, err
}

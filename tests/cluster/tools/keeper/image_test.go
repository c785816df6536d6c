// Images: what is packed is named and laid out as containerd expects.
package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestTheSameFolderIsTheSameImage(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "program"), []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("program", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	var contents []string
	for range 2 {
		archive := filepath.Join(t.TempDir(), "image.tar")
		if err := writeImage("localhost/a:1", root, archive, []string{"/program"}); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, string(content))
	}
	if contents[0] != contents[1] {
		t.Error("two archives of one folder differ")
	}

	layer, err := packFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]*tar.Header{}
	for in := tar.NewReader(layer); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		entries[header.Name] = header
	}
	if program := entries["program"]; program == nil || program.Mode != 0o755 || program.Uid != 0 {
		t.Errorf("program: %+v", program)
	}
	if link := entries["link"]; link == nil || link.Linkname != "program" {
		t.Errorf("link: %+v", link)
	}
}

// Images: what is packed is named and laid out as containerd expects.
package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func packed(t *testing.T, annotations map[string]string) string {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	out := tar.NewWriter(file)
	index, err := json.Marshal(object{"manifests": []descriptor{{Annotations: annotations}}})
	if err != nil {
		t.Fatal(err)
	}
	// Behind a blob, as tools have it.
	if err := errors.Join(writeEntry(out, "blobs/sha256/00", []byte("{}")), writeEntry(out, "./index.json", index), out.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestNamesAreThoseThatContainerdWouldMisread(t *testing.T) {
	for sentence, c := range map[string]struct {
		annotations map[string]string
		want        []string
	}{
		"a full name as a reference":         {map[string]string{refNameAnnotation: "localhost/a:1"}, []string{"localhost/a:1"}},
		"a mere tag":                         {map[string]string{refNameAnnotation: "latest"}, nil},
		"a name that containerd understands": {map[string]string{fullNameAnnotation: "localhost/a:1", refNameAnnotation: "localhost/a:1"}, nil},
		"no name":                            {nil, nil},
	} {
		got, err := misreadNames(packed(t, c.annotations))
		if err != nil {
			t.Errorf("%s: %v", sentence, err)
		}
		if len(got) != len(c.want) || (len(got) == 1 && got[0] != c.want[0]) {
			t.Errorf("%s: got %v, want %v", sentence, got, c.want)
		}
	}
}

func TestWhatIsNoArchiveIsSaidToBeNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte("not an archive, but long enough to be read as one?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := misreadNames(file); err == nil {
		t.Error("no error")
	}
}

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

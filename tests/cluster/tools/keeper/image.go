// Images without a registry or a builder: a folder becomes a one-layer OCI archive.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const (
	// containerd's own annotation for the full name of an image, and the standard's for what is often only a tag.
	fullNameAnnotation = "io.containerd.image.name"
	refNameAnnotation  = "org.opencontainers.image.ref.name"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type object map[string]any

// writeImage packs root, owned by root and without times, so that the same content is the same image.
func writeImage(name, root, archive string, entrypoint []string) error {
	layer, err := packFolder(root)
	if err != nil {
		return err
	}
	file, err := os.Create(archive + ".new")
	if err != nil {
		return err
	}
	defer file.Close()
	out := tar.NewWriter(file)

	layerBlob, err := writeBlob(out, "application/vnd.oci.image.layer.v1.tar", layer.Bytes())
	if err != nil {
		return err
	}
	configBlob, err := writeJSONBlob(out, "application/vnd.oci.image.config.v1+json", object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Entrypoint": entrypoint, "Env": []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{layerBlob.Digest}},
	})
	if err != nil {
		return err
	}
	manifest, err := writeJSONBlob(out, "application/vnd.oci.image.manifest.v1+json", object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": configBlob, "layers": []descriptor{layerBlob},
	})
	if err != nil {
		return err
	}
	manifest.Annotations = map[string]string{fullNameAnnotation: name, refNameAnnotation: name}
	index, err := json.Marshal(object{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	if err != nil {
		return err
	}
	if err := writeEntry(out, "index.json", index); err != nil {
		return err
	}
	if err := writeEntry(out, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := errors.Join(out.Close(), file.Close()); err != nil {
		return err
	}
	return os.Rename(archive+".new", archive)
}

func packFolder(root string) (*bytes.Buffer, error) {
	layer := &bytes.Buffer{}
	out := tar.NewWriter(layer)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		// Only what belongs into an image: the standard library also takes times and owners from the file.
		*header = tar.Header{Typeflag: header.Typeflag, Name: relative, Linkname: header.Linkname, Size: header.Size, Mode: header.Mode}
		if err := out.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(out, file)
		return err
	})
	return layer, errors.Join(err, out.Close())
}

func writeJSONBlob(out *tar.Writer, mediaType string, value any) (descriptor, error) {
	content, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, err
	}
	return writeBlob(out, mediaType, content)
}

func writeBlob(out *tar.Writer, mediaType string, content []byte) (descriptor, error) {
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	blob := descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: int64(len(content))}
	return blob, writeEntry(out, "blobs/sha256/"+digest, content)
}

func writeEntry(out *tar.Writer, name string, content []byte) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := out.Write(content)
	return err
}

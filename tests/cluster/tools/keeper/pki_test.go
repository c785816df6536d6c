// Certificates: components can trust each other with them, and making them again changes nothing.
package main

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

func made(t *testing.T, folder, port string) map[string]string {
	t.Helper()
	if err := pki(folder, "node", "10.245.0.1", "10.96.0.1", port); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		contents[entry.Name()] = string(content)
	}
	return contents
}

func TestEveryCertificateIsSignedByTheOneAuthority(t *testing.T) {
	folder := t.TempDir()
	contents := made(t, folder, "1234")
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM([]byte(contents["ca.crt"]))
	for name, use := range map[string]x509.ExtKeyUsage{
		"apiserver": x509.ExtKeyUsageServerAuth, "kubelet-server": x509.ExtKeyUsageServerAuth, "admin": x509.ExtKeyUsageClientAuth, "kubelet": x509.ExtKeyUsageClientAuth,
	} {
		der, err := readPEM(filepath.Join(folder, name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := certificate.Verify(x509.VerifyOptions{Roots: authorities, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASecondTimeOnlyThePortChanges(t *testing.T) {
	folder := t.TempDir()
	before, after := made(t, folder, "1234"), made(t, folder, "4321")
	for name, content := range before {
		if changed, should := after[name] != content, filepath.Ext(name) == ".kubeconfig"; changed != should {
			t.Errorf("%s: changed is %v", name, changed)
		}
	}
}

func TestAnIncompletePairIsReplaced(t *testing.T) {
	folder := t.TempDir()
	made(t, folder, "1234")
	if err := os.Remove(filepath.Join(folder, "admin.crt")); err != nil {
		t.Fatal(err)
	}
	if contents := made(t, folder, "1234"); contents["admin.crt"] == "" {
		t.Error("the certificate is still missing")
	}
}

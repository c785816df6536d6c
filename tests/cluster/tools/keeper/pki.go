// The cluster's certificates and kubeconfigs: one authority, and an identity of its own for each component, so that RBAC sees who calls.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Longer than any test cluster is kept; there is no renewal.
const lifetime = 5 * 365 * 24 * time.Hour

// identities are the callers of the API server: user name and group, by the name of their kubeconfig.
func identities(node string) map[string]pkix.Name {
	return map[string]pkix.Name{
		"admin":                   {CommonName: "admin", Organization: []string{"system:masters"}},
		"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
		"kube-scheduler":          {CommonName: "system:kube-scheduler"},
		"kube-proxy":              {CommonName: "system:kube-proxy"},
		"kubelet":                 {CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
		"coredns":                 {CommonName: "pgloom:coredns"},
		"storage":                 {CommonName: "pgloom:storage"},
	}
}

// pki fills the folder: certificates are made once and kept, since objects in the store depend on them; kubeconfigs follow the port.
func pki(folder, node, nodeIP, serviceIP, port string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	ca, err := authority(folder)
	if err != nil {
		return err
	}

	apiserver := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(nodeIP), net.ParseIP(serviceIP)},
	}
	kubelet := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{node},
		IPAddresses: []net.IP{net.ParseIP(nodeIP)},
	}
	toKubelet := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver-kubelet-client"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for name, template := range map[string]*x509.Certificate{
		"apiserver": apiserver, "kubelet-server": kubelet, "apiserver-kubelet-client": toKubelet,
	} {
		if err := ca.issue(folder, name, template); err != nil {
			return err
		}
	}
	if err := serviceAccountKey(folder); err != nil {
		return err
	}

	for name, subject := range identities(node) {
		client := &x509.Certificate{Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if err := ca.issue(folder, name, client); err != nil {
			return err
		}
		if err := kubeconfig(folder, name, net.JoinHostPort("127.0.0.1", port)); err != nil {
			return err
		}
	}
	return nil
}

type certificateAuthority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func authority(folder string) (*certificateAuthority, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "pgloom-test-cluster"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if err := (&certificateAuthority{}).issue(folder, "ca", template); err != nil {
		return nil, err
	}
	certificate, err := readPEM(filepath.Join(folder, "ca.crt"))
	if err != nil {
		return nil, err
	}
	key, err := readPEM(filepath.Join(folder, "ca.key"))
	if err != nil {
		return nil, err
	}
	ca := &certificateAuthority{}
	if ca.certificate, err = x509.ParseCertificate(certificate); err != nil {
		return nil, err
	}
	ca.key, err = x509.ParseECPrivateKey(key)
	return ca, err
}

// issue makes NAME.crt and NAME.key unless both are there; an authority without a certificate signs its own. The certificate is
// written last, so that a pair is whole when its certificate exists.
func (ca *certificateAuthority) issue(folder, name string, template *x509.Certificate) error {
	path := filepath.Join(folder, name+".crt")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour) // clocks differ
	template.NotAfter = time.Now().Add(lifetime)
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	parent, signer := ca.certificate, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(folder, name+".key"), "EC PRIVATE KEY", keyDER); err != nil {
		return err
	}
	return writePEM(path, "CERTIFICATE", der)
}

// serviceAccountKey makes the pair that signs and checks the tokens of pods.
func serviceAccountKey(folder string) error {
	public := filepath.Join(folder, "service-account.pub")
	if _, err := os.Stat(public); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(folder, "service-account.key"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)); err != nil {
		return err
	}
	return writePEM(public, "PUBLIC KEY", der)
}

// kubeconfig carries its certificates inside, so that the file can be used from anywhere.
func kubeconfig(folder, identity, server string) error {
	encoded := map[string]string{}
	for _, file := range []string{"ca.crt", identity + ".crt", identity + ".key"} {
		content, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return err
		}
		encoded[file] = base64.StdEncoding.EncodeToString(content)
	}
	return writeFile(filepath.Join(folder, identity+".kubeconfig"), fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: pgloom
clusters:
- name: pgloom
  cluster:
    server: https://%s
    certificate-authority-data: %s
contexts:
- name: pgloom
  context: {cluster: pgloom, user: %[3]s}
users:
- name: %[3]s
  user:
    client-certificate-data: %s
    client-key-data: %s
`, server, encoded["ca.crt"], identity, encoded[identity+".crt"], encoded[identity+".key"]))
}

func readPEM(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New(path + " holds no PEM block")
	}
	return block.Bytes, nil
}

func writePEM(path, kind string, der []byte) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// writeFile replaces a file as a whole or not at all: an interrupted run must not leave half a key.
func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/ds2-lab/alps/internal/atomicfile"
	"github.com/ds2-lab/alps/internal/cache"
)

// KeyPair is the cache's ssh key, made when it is first needed. It opens every guest
// made with this cache.
func KeyPair() (ssh.Signer, error) {
	dir, err := cache.Dir("ssh")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "id_ed25519")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if data, _, err = NewKey(); err == nil {
			err = atomicfile.WriteNew(path, data, 0o600)
		}
		if errors.Is(err, os.ErrExist) { // another process was faster: all have one key
			data, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ssh key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("ssh key %s: %w (delete it to have a new one)", path, err)
	}
	return signer, nil
}

// NewKey makes an ed25519 key for ssh: the private half in PEM, and the public one.
func NewKey() (private []byte, public ssh.PublicKey, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(priv, "alps")
	if err != nil {
		return nil, nil, err
	}
	public, err = ssh.NewPublicKey(pub)
	return pem.EncodeToMemory(block), public, err
}

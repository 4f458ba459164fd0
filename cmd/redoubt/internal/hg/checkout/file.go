package checkout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// replaceFile writes a file so that others see the old or the new one.
func replaceFile(path, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".redoubt-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone if all is well
	_, err = temp.WriteString(text)
	if err == nil {
		err = temp.Chmod(0o644)
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// SetDefaultPath makes url what "hg pull" in repo pulls from. hg itself would
// have noted the address of our proxy.
func SetDefaultPath(repo, url string) error {
	path := filepath.Join(repo, ".hg", "hgrc")
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := withDefaultPath(string(old), url)
	if text == string(old) {
		return nil
	}
	return replaceFile(path, text)
}

// withDefaultPath returns an hgrc with another default path, and all else as it
// was.
func withDefaultPath(text, url string) string {
	line := "default = " + url + "\n"
	var out strings.Builder
	section, done := "", false
	for l := range strings.Lines(text) {
		trimmed := strings.TrimSpace(l)
		if strings.HasPrefix(trimmed, "[") {
			if section == "[paths]" && !done {
				out.WriteString(line)
				done = true
			}
			section = trimmed
		}
		key, _, isItem := strings.Cut(trimmed, "=")
		if section == "[paths]" && isItem && strings.TrimSpace(key) == "default" {
			if !done {
				out.WriteString(line)
			}
			done = true
			continue
		}
		out.WriteString(l)
	}
	if done {
		return out.String()
	}
	if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
		out.WriteString("\n")
	}
	if section != "[paths]" {
		out.WriteString("[paths]\n")
	}
	out.WriteString(line)
	return out.String()
}

// Place makes what was built at temp the destination at path. What is there is
// moved aside in the same instant, where the system can, and removed.
func Place(temp, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Rename(temp, path)
	case err != nil:
		return err
	}
	if info.IsDir() && os.Remove(path) == nil { // it was empty
		return os.Rename(temp, path)
	}
	if err := exchange(temp, path); err != nil {
		return err
	}
	return os.RemoveAll(temp)
}

// exchangeSlowly is exchange where the system has no such thing: for a moment
// path is absent, and after a crash the old one is beside it.
func exchangeSlowly(temp, path string) error {
	aside := temp + ".old"
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Rename(aside, path))
	}
	return os.Rename(aside, temp)
}

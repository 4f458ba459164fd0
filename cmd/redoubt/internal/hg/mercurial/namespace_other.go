//go:build !linux

package mercurial

// namespace is empty: hg knows of process namespaces on Linux only.
func namespace() string { return "" }

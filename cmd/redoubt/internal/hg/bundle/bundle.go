// Package bundle downloads the files that a clone can begin with, and goes on
// where a download broke off.
package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// A Bundle is a file to begin a clone with.
type Bundle struct {
	Source source.Source
	SHA256 string // lower-case hexadecimal; "" means unknown
	Packed bool   // made for streaming, to be applied to an empty repository only
}

// Parse judges a bundle that was named by a user or a server: a location, and
// optionally "#sha256=" and 64 digits. field is what to call it in an error.
func Parse(field, text string) (Bundle, error) {
	location, fragment, given := strings.Cut(text, "#")
	sum, isSum := strings.CutPrefix(fragment, "sha256=")
	sum = strings.ToLower(sum)
	if given && (!isSum || len(sum) != hex.EncodedLen(sha256.Size) || strings.Trim(sum, "0123456789abcdef") != "") {
		return Bundle{}, &source.Error{Field: field, Value: source.Redact(text), Rule: "must have no fragment but #sha256= and 64 hexadecimal digits"}
	}
	s, err := source.File(field, location)
	return Bundle{Source: s, SHA256: sum}, err
}

// A SumError says that a file is not what it should be.
type SumError struct{ Got, Want string }

// Error tells both sums.
func (e *SumError) Error() string {
	return "bundle: sha256 is " + e.Got + ", must be " + e.Want
}

// Retryable reports false.
func (e *SumError) Retryable() bool { return false }

// A StatusError is an answer that says no.
type StatusError struct{ Verdict classify.Verdict }

// Error tells the status.
func (e *StatusError) Error() string { return "bundle: " + e.Verdict.Message }

// Retryable reports whether another answer may come later.
func (e *StatusError) Retryable() bool { return e.Verdict.Reaction.Again() }

// An Error is a file that can't be a bundle.
type Error struct{ Why string }

// Error says why not.
func (e *Error) Error() string { return "bundle: " + e.Why }

// Retryable reports false.
func (e *Error) Retryable() bool { return false }

// resumes bounds how often a download is resumed without getting anywhere.
const resumes = 3

// Download writes what m serves at path and reports how often it had to resume.
// A file that is there already is what an earlier download left, and is gone on
// with. Progress is told how many bytes are there; it may be nil.
func Download(ctx context.Context, m *mirror.Mirror, b Bundle, path string, progress func(int64)) (resumed int, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	d := &download{mirror: m, file: file, progress: progress}
	idle := 0
	for {
		before := d.have()
		err = d.request(ctx)
		if err == nil {
			break
		}
		if !d.broken || ctx.Err() != nil {
			return resumed, err
		}
		if idle++; d.have() > before {
			idle = 0
		}
		if idle >= resumes {
			return resumed, err
		}
		resumed++
	}
	return resumed, d.check(b.SHA256)
}

// download is one under way.
type download struct {
	mirror   *mirror.Mirror
	file     *os.File
	progress func(int64)
	etag     string // of what we have
	broken   bool   // the last answer broke off
}

func (d *download) have() int64 {
	info, err := d.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// request sends one request, for what is missing, and writes its answer.
func (d *download) request(ctx context.Context) error {
	d.broken = false
	from := d.have()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.mirror.Source().URL().String(), http.NoBody)
	if err != nil {
		return err
	}
	if from > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
		if d.etag != "" {
			req.Header.Set("If-Range", d.etag)
		}
	}
	resp, err := d.mirror.Do(req, "bundle")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	offset, done, err := accept(resp, from)
	if err != nil || done {
		return err
	}
	d.etag = resp.Header.Get("ETag")
	if strings.HasPrefix(d.etag, "W/") {
		d.etag = "" // weak ones may not be used with ranges
	}
	return d.write(resp, offset)
}

// accept judges an answer to a request for what follows the first from bytes. It
// returns where the body belongs, and whether nothing is missing.
func accept(resp *http.Response, from int64) (offset int64, done bool, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			return 0, false, &Error{Why: "the answer is HTML"}
		}
		return 0, false, nil
	case http.StatusPartialContent:
		var first, last int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last); err != nil || first != from {
			return 0, false, &Error{Why: "the server sends another range than was asked for"}
		}
		return from, false, nil
	case http.StatusRequestedRangeNotSatisfiable:
		var size int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes */%d", &size); err == nil && size == from {
			return from, true, nil
		}
		return 0, false, &Error{Why: "the file has changed since the download began"}
	default:
		return 0, false, &StatusError{Verdict: classify.Status(resp.StatusCode)}
	}
}

func (d *download) write(resp *http.Response, offset int64) error {
	if err := d.file.Truncate(offset); err != nil {
		return err
	}
	if _, err := d.file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(writer{d}, resp.Body)
	var ours *os.PathError
	d.broken = err != nil && !errors.As(err, &ours)
	return err
}

type writer struct{ d *download }

func (w writer) Write(p []byte) (int, error) {
	n, err := w.d.file.Write(p)
	if w.d.progress != nil {
		w.d.progress(int64(n))
	}
	return n, err
}

// check compares the file with its sum.
func (d *download) check(want string) error {
	if want == "" {
		return nil
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return checkSum(sha256.New(), d.file, want)
}

func checkSum(h hash.Hash, file io.Reader, want string) error {
	if _, err := io.Copy(h, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return &SumError{Got: got, Want: want}
	}
	return nil
}

// CheckFile compares a file of this machine with the bundle's sum, if it has one.
func CheckFile(b Bundle) error {
	file, err := os.Open(b.Source.Path())
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if b.SHA256 == "" {
		return nil
	}
	return checkSum(sha256.New(), file, b.SHA256)
}

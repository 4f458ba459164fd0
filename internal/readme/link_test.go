package readme

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/redoubt-go/redoubt/internal/repo"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)\s]+)(?: "[^"]*")?\)`)
	codeSpan   = regexp.MustCompile("`[^`\n]*`")
)

// prose returns the lines of a Markdown file that are not in a fenced code
// block, with an empty line for each that is, so that numbers of lines stay.
func prose(markdown string) []string {
	lines := strings.Split(markdown, "\n")
	fence := ""
	for i, line := range lines {
		trimmed := strings.TrimLeft(line, " ")
		info := strings.TrimLeft(trimmed, "`~")
		mark := trimmed[:len(trimmed)-len(info)]
		switch {
		case fence != "":
			lines[i] = ""
			if strings.HasPrefix(mark, fence) && strings.TrimSpace(info) == "" {
				fence = ""
			}
		case len(mark) >= 3:
			lines[i] = ""
			fence = mark
		}
	}
	return lines
}

// anchors returns what GitHub makes of the headings of a Markdown file. It does
// not number headings that occur twice.
func anchors(markdown string) []string {
	var found []string
	for _, line := range prose(markdown) {
		text := strings.TrimLeft(line, "#")
		if text == line || !strings.HasPrefix(text, " ") {
			continue
		}
		found = append(found, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(text)))
	}
	return found
}

// checkLinks returns an error for each link of a Markdown file that leads to a
// file or an anchor that is not there. Links to other sites are not followed.
func checkLinks(root fs.FS, name string) []error {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for i, line := range prose(string(text)) {
		for _, match := range linkTarget.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			if strings.Contains(match[1], ":") {
				continue
			}
			if err := checkTarget(root, name, match[1]); err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %w", name, i+1, err))
			}
		}
	}
	return errs
}

// checkTarget returns an error unless the target of a link in the file name is
// there.
func checkTarget(root fs.FS, name, target string) error {
	file, anchor, anchored := strings.Cut(target, "#")
	if file == "" {
		file = name
	} else {
		file = path.Join(path.Dir(name), file)
	}
	if _, err := fs.Stat(root, file); err != nil {
		return fmt.Errorf("there is no %s", target)
	}
	if !anchored {
		return nil
	}
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return err
	}
	if !slices.Contains(anchors(string(text)), anchor) {
		return fmt.Errorf("%s has no heading for #%s", file, anchor)
	}
	return nil
}

// TestLinks holds that every link between the files of the repository leads
// somewhere.
func TestLinks(t *testing.T) {
	root := os.DirFS(repo.Root(t))
	count := 0
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			count++
			for _, err := range checkLinks(root, name) {
				t.Error(err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Error("there is no Markdown")
	}
}

func TestCheckLinks(t *testing.T) {
	tests := []struct{ markdown, want string }{
		{"[a](b.md), ![p](p.png) and [there](https://example.com/x#y)", ""},
		{"[a](b.md#it-works-go-126)", ""},
		{"# Here\n\n[up](#here)", ""},
		{"text\n[a](c.md)", "docs/a.md:2: there is no c.md"},
		{"![a](q.png \"title\")", "docs/a.md:1: there is no q.png"},
		{"[a](../docs/b.md#none)", "docs/a.md:1: docs/b.md has no heading for #none"},
		{"[up](#none)", "docs/a.md:1: docs/a.md has no heading for #none"},
		{"`m[k](x)` is code\n```go\nm[k](x)\n# none\n```\n", ""},
		{"```\n# Code\n```\n[a](#code)", "docs/a.md:4: docs/a.md has no heading for #code"},
	}
	for _, tt := range tests {
		root := fstest.MapFS{
			"docs/a.md":  {Data: []byte(tt.markdown)},
			"docs/b.md":  {Data: []byte("## It *works*: Go 1.26?\n")},
			"docs/p.png": {},
		}
		var got []string
		for _, err := range checkLinks(root, "docs/a.md") {
			got = append(got, err.Error())
		}
		if strings.Join(got, "\n") != tt.want {
			t.Errorf("%q: got %q, want %q", tt.markdown, got, tt.want)
		}
	}
}

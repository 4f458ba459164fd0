package readme

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A block is a fenced code block of a Markdown file.
type block struct {
	lang    string // first word after the opening fence
	text    string
	line    int // of the file, where text begins
	section int // ordinal of the heading of level 1 or 2 that it stands under
}

// blocks returns the fenced code blocks of a Markdown file.
func blocks(markdown string) ([]block, error) {
	var (
		found   []block
		section int
		fence   string // the fence that the open block began with
		indent  string
		text    strings.Builder
	)
	for i, line := range strings.Split(markdown, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case fence != "" && strings.TrimRight(trimmed, " `~") == "" && strings.HasPrefix(trimmed, fence):
			found[len(found)-1].text = text.String()
			text.Reset()
			fence = ""
		case fence != "":
			text.WriteString(strings.TrimPrefix(line, indent) + "\n")
		case strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~"):
			info := strings.TrimLeft(trimmed, trimmed[:1])
			fence = trimmed[:len(trimmed)-len(info)]
			indent = line[:len(line)-len(trimmed)]
			lang, _, _ := strings.Cut(strings.TrimSpace(info), " ")
			found = append(found, block{lang: lang, line: i + 2, section: section})
		case strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "## "):
			section++
		}
	}
	if fence != "" {
		return nil, fmt.Errorf("line %d: the code block is never closed", found[len(found)-1].line-1)
	}
	return found, nil
}

func TestBlocks(t *testing.T) {
	tests := []struct {
		name, markdown string
		want           []block
	}{
		{"none", "text\n\nmore `code` here\n", nil},
		{"one", "# T\n\n```go\nx := 1\n```\n", []block{{"go", "x := 1\n", 4, 1}}},
		{"no language", "```\nx\n```", []block{{"", "x\n", 2, 0}}},
		{"attributes", "``` go linenos\nx\n```", []block{{"go", "x\n", 2, 0}}},
		{"empty", "```go\n```", []block{{"go", "", 2, 0}}},
		{"tildes around backticks", "~~~text\n```\nx\n~~~", []block{{"text", "```\nx\n", 2, 0}}},
		{"longer fence", "````md\n```go\n```\n````", []block{{"md", "```go\n```\n", 2, 0}}},
		{"in a list", "- a\n\n  ```go\n  if x {\n  \ty()\n  }\n  ```\n", []block{{"go", "if x {\n\ty()\n}\n", 4, 0}}},
		{
			"sections", "# A\n```a\n```\n### B\n```b\n```\n## C\n```c\n```\n",
			[]block{{"a", "", 3, 1}, {"b", "", 6, 1}, {"c", "", 9, 2}},
		},
		{"hash in code", "```sh\n# comment\n```\n```go\n```", []block{{"sh", "# comment\n", 2, 0}, {"go", "", 5, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := blocks(tt.markdown)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestBlocksUnclosed(t *testing.T) {
	if _, err := blocks("a\n\n```go\nx\n"); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("err = %v, want one that names line 3", err)
	}
}

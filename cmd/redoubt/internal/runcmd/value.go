package runcmd

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// count is a flag for a whole number.
type count int

func (c *count) String() string { return strconv.Itoa(int(*c)) }

// Type is what the help calls it.
func (c *count) Type() string { return "int" }

func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("must be a whole number")
	}
	*c = count(n)
	return nil
}

// exitCodes is a flag for a set of exit codes: "1,75,128-143".
type exitCodes []span

type span struct{ first, last int }

func (c *exitCodes) String() string {
	var parts []string
	for _, s := range *c {
		part := strconv.Itoa(s.first)
		if s.last != s.first {
			part += "-" + strconv.Itoa(s.last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// Type is what the help calls it.
func (c *exitCodes) Type() string { return "codes" }

// Set adds to the set, so that the flag may be given several times.
func (c *exitCodes) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		low, errLow := strconv.ParseUint(first, 10, 8)
		high, errHigh := strconv.ParseUint(last, 10, 8)
		if errLow != nil || errHigh != nil || low == 0 || high < low {
			return fmt.Errorf("%q must be an exit code from 1 to 255, or a range of them such as 128-143", part)
		}
		*c = append(*c, span{int(low), int(high)})
	}
	return nil
}

func (c *exitCodes) contain(code int) bool {
	return slices.ContainsFunc(*c, func(s span) bool { return s.first <= code && code <= s.last })
}

// patterns is a flag for regular expressions, of which one must match a line.
type patterns []*regexp.Regexp

func (p *patterns) String() string {
	var parts []string
	for _, re := range *p {
		parts = append(parts, re.String())
	}
	return strings.Join(parts, " ")
}

// Type is what the help calls it.
func (p *patterns) Type() string { return "regexp" }

// Set adds to the patterns, so that the flag may be given several times.
func (p *patterns) Set(text string) error {
	if text == "" {
		return errors.New("must not be empty: it would match everything")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return err
	}
	*p = append(*p, re)
	return nil
}

// choice is a flag for one of a few words.
type choice struct {
	value string
	words []string
}

func (c *choice) String() string { return c.value }

// Type is what the help calls it.
func (c *choice) Type() string { return strings.Join(c.words, "|") }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.words, text) {
		return errors.New("must be one of " + strings.Join(c.words, ", "))
	}
	c.value = text
	return nil
}

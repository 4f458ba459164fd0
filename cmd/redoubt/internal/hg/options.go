package hg

import (
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/bundle"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// Options say what to make and how. They were judged before: package source
// made what comes from outside.
type Options struct {
	Primary source.Source
	Mirrors []source.Source // asked before the primary, in this order
	Bundles []bundle.Bundle
	Dest    string // absolute; "" only with NoUpdate

	Revision source.Revision // zero means the tip of the default branch

	ShareBase string // directory of stores that working copies share; "" means none
	Root      string // hash of the first revision to be expected; "" means any

	DiscardChanges bool // uncommitted ones
	DiscardCommits bool // that no source has
	Replace        bool // whatever else stands at Dest
	NoUpdate       bool // make the store ready, which is below ShareBase, and leave Dest alone
	Purge          bool // files that are not tracked
	Swap           bool // build aside even if Dest could be updated
	Repair         bool // rebuild what is damaged
	StaleOK        bool // let a mirror say what a name means if the primary can't
	Fastest        bool // ask the mirror first that answers first
	Direct         bool // let hg dial by itself
	UserConfig     bool // let the user's hgrc count

	Verify      checkout.Level
	Limits      mirror.Limits
	Rounds      int
	Budget      time.Duration // for the whole run
	LockWait    time.Duration
	BreakerWait time.Duration // for the first circuit to half-open, if all are open

	StateDir        string // of circuits
	BreakerFailures int
	BreakerCooldown time.Duration

	HgPath string // "" means hg in PATH
}

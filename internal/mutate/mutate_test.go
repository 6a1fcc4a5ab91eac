package mutate

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var which = flag.String("mutate", "", `which mutations to try: "all", "quick" for those that are noticed at once, or nothing`)

// root is the module, as seen from this package's directory.
const root = "../.."

// A mutation is a defect that a test must notice.
type mutation struct {
	name  string
	by    string // the tests that notice, patterns with | between them; "" for all of the package
	edits []edit
}

type edit struct{ file, old, new string }

// mutate returns a mutation of one place. by may be left "" in lists that have
// suites of their own.
func mutate(name, file, old, new string) mutation {
	return mutation{name, "", []edit{{file, old, new}}}
}

// caught is mutate with the tests that notice.
func caught(by, name, file, old, new string) mutation {
	return mutation{name, by, []edit{{file, old, new}}}
}

// A list is the mutations of one package.
type list struct {
	dir       string // of the package, relative to root
	quick     bool   // its tests compile in a second or two, and fail without waiting for anything
	mutations []mutation
}

var lists = []list{
	{"memfd", true, memfdMutations},
	{"fdpass", true, fdpassMutations},
	{"internal/wire", true, wireMutations},
	{"internal/doorbell", false, doorbellMutations},
	{"internal/hangup", false, hangupMutations},
	{"listener", false, listenerMutations},
	{"ring", false, ringMutations},
	{"shmconn", false, connMutations},
	{"shmconn", false, handshakeMutations},
}

// TestMutationsApply keeps the lists in step with the code.
func TestMutationsApply(t *testing.T) {
	names := map[string]bool{}
	for _, l := range lists {
		for _, m := range l.mutations {
			name := l.dir + ": " + m.name
			if names[name] {
				t.Errorf("two mutations are named %q", name)
			}
			names[name] = true
			if _, err := m.apply(l.dir); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestMutations shows for each mutation which tests catch it.
func TestMutations(t *testing.T) {
	if *which == "" {
		t.Skip("run with -mutate quick or -mutate all")
	}
	if *which != "quick" && *which != "all" {
		t.Fatalf("-mutate %s: want quick or all", *which)
	}
	for _, l := range lists {
		if *which == "quick" && !l.quick {
			continue
		}
		for _, m := range l.mutations {
			t.Run(path.Base(l.dir)+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				overlay, err := m.overlay(t.TempDir(), l.dir)
				if err != nil {
					t.Fatal(err)
				}
				killers := failures(t, l.dir, m.by, overlay)
				if len(killers) == 0 {
					t.Fatal("survives")
				}
				t.Log("caught by ", strings.Join(killers, ", "))
			})
		}
	}
}

// apply returns the changed files, whose names are relative to dir.
func (m mutation) apply(dir string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, dir, e.file))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%d times in %s:\n%s", n, e.file, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

// overlay writes the changed files and the list of them by which go build takes
// them in place of the true ones, which nothing touches.
func (m mutation) overlay(tmp, dir string) (string, error) {
	files, err := m.apply(dir)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range files {
		original, err := filepath.Abs(filepath.Join(root, dir, name))
		if err != nil {
			return "", err
		}
		replace[original] = filepath.Join(tmp, name)
		if err := os.WriteFile(replace[original], []byte(text), 0o666); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(tmp, "overlay.json")
	return name, os.WriteFile(name, overlay, 0o666)
}

// failLine matches what a failed test prints, or one that its watchdog ends.
var failLine = regexp.MustCompile(`(?m)^--- FAIL: (\w+)|^(\w+).*: not over after `)

// failures returns the tests of the package in dir that fail, of those that by
// names. Those of the schedule explorer are built with a tag of their own.
func failures(t *testing.T, dir, by, overlay string) []string {
	t.Helper()
	var unit, explorer []string
	for name := range strings.SplitSeq(by, "|") {
		if strings.HasPrefix(name, "TestExplore") {
			explorer = append(explorer, name)
		} else if name != "" {
			unit = append(unit, name)
		}
	}
	pattern := func(names []string) string { return "-run=^(" + strings.Join(names, "|") + ")$" }
	var killers []string
	switch {
	case by == "":
		killers = run(t, dir, overlay, "-skip=^Test(Soak.*|MutexRing)$")
		explorer = []string{"TestExplore.*", "TestWordsChange.*"}
	case len(unit) > 0:
		killers = run(t, dir, overlay, pattern(unit))
	}
	if len(killers) == 0 && len(explorer) > 0 {
		killers = run(t, dir, overlay, "-tags=ringhook", pattern(explorer), "-args", "-preemptions=2")
	}
	return killers
}

func run(t *testing.T, dir, overlay string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-overlay=" + overlay, "-vet=off", "-ldflags=-s -w", "-failfast", "-timeout=150s"}, args...)...)
	cmd.Dir = filepath.Join(root, dir)
	text, err := cmd.CombinedOutput()
	out := string(text)
	switch {
	case strings.Contains(out, "[no tests to run]"):
		t.Fatalf("no such test:\n%s", out)
	case err == nil:
		return nil
	case strings.Contains(out, "[build failed]"), strings.Contains(out, "[setup failed]"):
		t.Fatalf("does not compile:\n%s", out)
	}
	var names []string
	for _, m := range failLine.FindAllStringSubmatch(out, -1) {
		names = append(names, m[1]+m[2])
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case strings.Contains(out, "test timed out"):
		// A slow machine catches nothing: only named tests count.
		if len(names) == 0 {
			t.Fatalf("times out:\n%s", out)
		}
	case strings.Contains(out, "panic:") || strings.Contains(out, "fatal error:"):
		names = append(names, "a crash")
	case len(names) == 0:
		t.Fatalf("%v\n%s", err, out)
	}
	return names
}

package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest matches a test as docs/SECURITY.md names it, with the package in front of it or, after
// another one of the same line, without. A star stands for the rest of several names.
var namedTest = regexp.MustCompile("(?:([a-z]+(?:/[a-z]+)*) )?`((?:Test|Fuzz)\\w*)(\\*?)`")

// testFunc matches the head of a test.
var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w*)\(`)

// TestSecurity checks that the tests exist which docs/SECURITY.md says show what it promises, and that
// each threat has one.
func TestSecurity(t *testing.T) {
	text, err := os.ReadFile("../../docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	promises, threats, inThreats := 0, 0, false
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			inThreats = strings.TrimSpace(heading) == "Threats"
		}
		pkg, named := "", 0
		for _, m := range namedTest.FindAllStringSubmatch(line, -1) {
			if m[1] != "" {
				pkg = m[1]
			}
			if !tests.has(pkg, m[2], m[3] != "") {
				t.Errorf("package %q has no test %s%s, named in: %.80s", pkg, m[2], m[3], line)
			}
			named++
		}
		promises += named
		row := strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| threat |")
		if inThreats && row {
			threats++
			if named == 0 {
				t.Errorf("no test for: %.80s", line)
			}
		}
	}
	if promises == 0 || threats == 0 {
		t.Errorf("found %d tests and %d threats: has the document changed its form?", promises, threats)
	}
}

// testsOf holds the names of the tests of each folder.
type testsOf map[string][]string

func (t testsOf) has(pkg, name string, prefix bool) bool {
	for _, have := range t[pkg] {
		if have == name || prefix && strings.HasPrefix(have, name) {
			return true
		}
	}
	return false
}

// testNames returns the tests of the root module, whatever their build constraints.
func testNames(t *testing.T) testsOf {
	tests := make(testsOf)
	for _, pattern := range []string{"../../*/*_test.go", "../../internal/*/*_test.go", "../../cmd/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := filepath.Rel("../..", filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range testFunc.FindAllSubmatch(text, -1) {
				tests[filepath.ToSlash(dir)] = append(tests[filepath.ToSlash(dir)], string(m[1]))
			}
		}
	}
	return tests
}

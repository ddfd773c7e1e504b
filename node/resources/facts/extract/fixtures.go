package main

// Checking the table against the serialised examples in k8s.io/api/testdata: every member of every example must be in
// the table, so that a strict decoder made from it accepts what upstream writes.

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// readFixtures checks HEAD/<group>.<version>.<kind>.json for every kind of the table and returns how many there were.
func (t *table) readFixtures() (int, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/api").Output()
	if err != nil {
		return 0, fmt.Errorf("go list -m k8s.io/api: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "testdata", "HEAD", "*.json"))
	if err != nil {
		return 0, err
	}
	checked := 0
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		var object map[string]any
		if err := json.Unmarshal(raw, &object); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		name, ok := t.kinds[fmt.Sprintf("%s %s", object["apiVersion"], object["kind"])]
		if !ok {
			continue // a version that is not served by default
		}
		t.checkValue(filepath.Base(path), name, object)
		checked++
	}
	return checked, nil
}

func (t *table) checkValue(where, shape string, value any) {
	bad := func() { t.fail("fixture %s: %T does not fit %s", where, value, shape) }
	switch v := value.(type) {
	case nil:
	case []any:
		item, ok := strings.CutPrefix(t.bare(shape), "[]")
		if !ok {
			bad()
		}
		for _, one := range v {
			t.checkValue(where, item, one)
		}
	case map[string]any:
		item, isMap := strings.CutPrefix(t.bare(shape), "{}")
		this := t.types[shape]
		switch {
		case isMap:
			for key, one := range v {
				t.checkValue(where+"."+key, item, one)
			}
		case shape == "raw" || shape == "json" || shape == "fieldsv1" || shape == "any":
		case this == nil:
			bad()
		case this.form == "either":
			for _, f := range this.fields {
				if t.types[f.shape] != nil {
					t.checkValue(where, f.shape, value)
				}
			}
		default:
			t.checkMembers(where, this, v)
		}
	case string:
		switch t.bare(shape) {
		case "bool", "i32", "i64", "f64":
			bad()
		}
	}
}

// bare replaces the name of an alias by its shape.
func (t *table) bare(shape string) string {
	if this := t.types[shape]; this != nil && this.form == "alias" {
		return this.alias
	}
	return shape
}

func (t *table) checkMembers(where string, this *typ, object map[string]any) {
	shapes := map[string]string{}
	for _, f := range t.flat(this) {
		shapes[f.json] = f.shape
	}
	for key, one := range object {
		shape, ok := shapes[key]
		if !ok {
			t.fail("fixture %s: %s has no member %s", where, this.name, key)
			continue
		}
		t.checkValue(where+"."+key, shape, one)
	}
	for key := range shapes {
		if _, shown := object[key]; !shown {
			t.unshown[this.name+"."+key] = true
		}
	}
}

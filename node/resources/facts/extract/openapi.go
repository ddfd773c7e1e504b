package main

// Merging what only the OpenAPI definitions say (required, defaults, enums, list types), and checking the rest of
// them against the struct tags: a contradiction ends the run unless it is named in `exceptions`.

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const refPrefix = "#/definitions/"

// exceptions are contradictions of the sources that were looked at; the reason stands beside each.
var exceptions = map[string]string{
	"io.k8s.api.admission.v1.AdmissionRequest":                                   "reviews are not served, so they are not published",
	"io.k8s.api.admission.v1.AdmissionResponse":                                  "the same",
	"io.k8s.api.admission.v1.AdmissionReview":                                    "the same",
	"io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec.caBundle": "a list type on bytes; kept as published",
}

// used records which exceptions were needed, so that a stale one is noticed.
var used = map[string]bool{}

func (t *table) contradiction(where, format string, args ...any) {
	if _, known := exceptions[where]; known {
		used[where] = true
		return
	}
	t.fail("%s: %s", where, fmt.Sprintf(format, args...))
}

func (t *table) mergeOpenAPI(definitions map[string]common.OpenAPIDefinition) {
	for _, name := range t.names() {
		this := t.types[name]
		if this.form != "type" {
			continue
		}
		definition, ok := definitions[name]
		if !ok {
			if !t.isInlinedOnly(name) {
				t.contradiction(name, "has no OpenAPI definition")
			}
			continue
		}
		t.mergeType(this, definition.Schema)
	}
}

// staleExceptions: an exception that no contradiction needed is itself an error.
func (t *table) staleExceptions() {
	for where := range exceptions {
		if !used[where] {
			t.fail("%s: the exception is not needed any more", where)
		}
	}
}

func (t *table) isInlinedOnly(name string) bool {
	for _, other := range t.types {
		for _, f := range other.fields {
			if strings.TrimLeft(f.shape, "[]{}") == name && f.json != "" {
				return false
			}
		}
	}
	return t.types[name].kind == ""
}

func (t *table) mergeType(this *typ, schema spec.Schema) {
	for key, value := range schema.Extensions {
		switch key {
		case "x-kubernetes-map-type":
			this.mapAtomic = value == "atomic"
		case "x-kubernetes-unions":
			this.unions = unions(value)
		default:
			t.contradiction(this.name, "unknown extension %s", key)
		}
	}
	seen := map[string]bool{}
	for _, f := range t.flat(this) {
		where := this.name + "." + f.json
		property, ok := schema.Properties[f.json]
		if !ok {
			t.contradiction(where, "a field of the struct, not of the definition")
			continue
		}
		seen[f.json] = true
		t.mergeField(f, property, slices.Contains(schema.Required, f.json), where)
	}
	for name := range schema.Properties {
		if !seen[name] {
			t.contradiction(this.name+"."+name, "a field of the definition, not of the struct")
		}
	}
}

func unions(value any) []string {
	var all []string
	for _, u := range value.([]interface{}) {
		var text []string
		one := u.(map[string]interface{})
		if d, ok := one["discriminator"]; ok {
			text = append(text, d.(string))
		} else {
			text = append(text, "-")
		}
		var members []string
		for from, to := range one["fields-to-discriminateBy"].(map[string]interface{}) {
			members = append(members, from+"="+to.(string))
		}
		sort.Strings(members)
		all = append(all, strings.Join(append(text, members...), " "))
	}
	return all
}

// mergeField is called again for a member of a struct that several types inline; then it must say the same.
func (t *table) mergeField(f *field, p spec.Schema, required bool, where string) {
	before := *f
	visited := f.extra != nil
	f.extra = []string{}
	f.required = required
	t.checkShape(f, p, where)
	t.checkDefault(f, p, where)
	f.enums = enums(p)
	if items := itemsOf(p); items != nil {
		f.enums = append(f.enums, enums(*items)...)
	}
	merged := t.extensions(f, p, where)
	if !slices.Equal(merged.strategy, f.patch) || merged.key != f.mergeBy {
		t.contradiction(where, "the tag says patch %v by %q, the definition %v by %q", f.patch, f.mergeBy, merged.strategy, merged.key)
	}
	if visited && !reflect.DeepEqual(before, *f) {
		t.contradiction(where, "differs between the types that inline it")
	}
}

type patch struct {
	strategy []string
	key      string
}

func (t *table) extensions(f *field, p spec.Schema, where string) patch {
	var found patch
	var keys []string
	f.list, f.mapType = "", ""
	for key, value := range p.Extensions {
		switch key {
		case "x-kubernetes-list-type":
			f.list = value.(string)
		case "x-kubernetes-list-map-keys":
			for _, k := range value.([]interface{}) {
				keys = append(keys, k.(string))
			}
		case "x-kubernetes-map-type":
			f.mapType = value.(string)
		case "x-kubernetes-patch-strategy":
			found.strategy = strings.Split(value.(string), ",")
		case "x-kubernetes-patch-merge-key":
			found.key = value.(string)
		default:
			t.contradiction(where, "unknown extension %s", key)
		}
	}
	isList := strings.HasPrefix(f.shape, "[]")
	if f.list != "" && !isList || (f.list == "map") != (len(keys) > 0) {
		t.contradiction(where, "list type %q with keys %v on the shape %s", f.list, keys, f.shape)
	}
	if len(keys) > 0 {
		f.list += "(" + strings.Join(keys, ",") + ")"
	}
	return found
}

func enums(p spec.Schema) []string {
	var all []string
	for _, e := range p.Enum {
		all = append(all, e.(string))
	}
	return all
}

func itemsOf(p spec.Schema) *spec.Schema {
	switch {
	case p.Items != nil:
		return p.Items.Schema
	case p.AdditionalProperties != nil:
		return p.AdditionalProperties.Schema
	}
	return nil
}

// refOf is the name that a property refers to, if it does.
func refOf(p spec.Schema) string {
	return strings.TrimPrefix(p.Ref.String(), refPrefix)
}

// expected is the OpenAPI type and format, or the reference, that a shape without lists and maps implies.
func (t *table) expected(shape string) string {
	switch shape {
	case "bool":
		return "boolean/"
	case "i32":
		return "integer/int32"
	case "i64", "u32", "u64":
		return "integer/int64"
	case "f64":
		return "number/double"
	case "str":
		return "string/"
	case "bytes":
		return "string/byte"
	case "any":
		return "object/"
	}
	for name, s := range builtin {
		if s == shape {
			return name
		}
	}
	if this := t.types[shape]; this != nil && this.form == "alias" {
		return this.alias
	}
	return shape
}

func actual(p spec.Schema) string {
	switch {
	case refOf(p) != "":
		return refOf(p)
	case p.Items != nil && p.Items.Schema != nil:
		return "[]" + actual(*p.Items.Schema)
	case p.AdditionalProperties != nil && p.AdditionalProperties.Schema != nil:
		return "{}" + actual(*p.AdditionalProperties.Schema)
	case len(p.Type) == 1:
		return p.Type[0] + "/" + p.Format
	}
	return "/" + p.Format
}

func (t *table) expectedFull(shape string) string {
	switch {
	case strings.HasPrefix(shape, "[]"):
		return "[]" + t.expectedFull(shape[2:])
	case strings.HasPrefix(shape, "{}"):
		return "{}" + t.expectedFull(shape[2:])
	}
	e := t.expected(shape)
	if strings.HasPrefix(e, "[]") || strings.HasPrefix(e, "{}") {
		return t.expectedFull(e)
	}
	return e
}

func (t *table) checkShape(f *field, p spec.Schema, where string) {
	if want, got := t.expectedFull(f.shape), actual(p); want != got {
		t.contradiction(where, "the struct implies %s, the definition says %s", want, got)
	}
	if p.Pattern != "" || p.Minimum != nil || p.Maximum != nil || p.MinLength != nil || p.MaxLength != nil ||
		p.MinItems != nil || p.MaxItems != nil || p.UniqueItems || p.Nullable {
		t.contradiction(where, "the definition has bounds that the table cannot hold")
	}
}

func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// implied is the JSON of the default that follows from the Go type alone; "null" for none.
func (t *table) implied(shape string, omit, pointer bool) string {
	if pointer {
		return "null"
	}
	switch shape {
	case "bool":
		return scalar(omit, "false")
	case "i32", "i64", "u32", "u64", "f64":
		return scalar(omit, "0")
	case "str":
		return scalar(omit, `""`)
	}
	if this := t.types[shape]; this != nil && this.form == "type" {
		return "{}"
	}
	return "null"
}

func scalar(omit bool, zero string) string {
	if omit {
		return "null"
	}
	return zero
}

func (t *table) checkDefault(f *field, p spec.Schema, where string) {
	f.defaulted, f.itemDeflt = "", ""
	if got := text(p.Default); got != t.implied(f.shape, f.omit == "omit", f.pointer) {
		f.defaulted = got
		if got == "null" {
			t.contradiction(where, "no default, but the rule implies %s", t.implied(f.shape, f.omit == "omit", f.pointer))
		}
	}
	if items := itemsOf(p); items != nil && strings.ContainsAny(f.shape[:1], "[{") {
		if got, want := text(items.Default), t.implied(f.shape[2:], false, false); got != want {
			t.contradiction(where, "items default to %s, the rule implies %s", got, want)
		}
	}
}

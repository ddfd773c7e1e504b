package main

// Reading the struct tags: which fields a type has, in which order, with which JSON name and protobuf number.

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// field is one member of a struct as the facts table holds it.
type field struct {
	json      string // empty for an inlined struct
	goName    string
	protoName string
	proto     int // 0: not in the protobuf form
	shape     string
	goType    reflect.Type // without the outer pointer
	pointer   bool
	omit      string // "", "omit" or "omitzero"
	patch     []string
	mergeBy   string

	// From the OpenAPI definitions.
	required  bool
	list      string
	mapType   string
	enums     []string
	defaulted string // JSON, only when it differs from the zero value that the rule implies
	itemDeflt string // the same for the items of a list or the values of a map
	extra     []string
}

// typ is one named type.
type typ struct {
	name      string // OpenAPI name, io.k8s.api.core.v1.Container
	goType    reflect.Type
	form      string // "type", "alias" or "either"
	alias     string // the shape of an alias
	kind      string // "kind": registered under its own group version; "kind=v1": under that one
	mapAtomic bool
	unions    []string
	fields    []*field
}

// table collects the types reachable from the roots.
type table struct {
	types   map[string]*typ
	kinds   map[string]string // "apiVersion kind" -> name
	unshown map[string]bool   // members that a fixture of their type leaves out
	errs    []string
}

func (t *table) fail(format string, args ...any) {
	t.errs = append(t.errs, fmt.Sprintf(format, args...))
}

type modelNamer interface{ OpenAPIModelName() string }

// modelName is the OpenAPI name of a type; some types outside k8s.io/api have no method for it.
func modelName(t reflect.Type) string {
	if n, ok := reflect.New(t).Interface().(modelNamer); ok {
		return n.OpenAPIModelName()
	}
	path := strings.Split(t.PkgPath(), "/")
	host := strings.Split(path[0], ".")
	for i, j := 0, len(host)-1; i < j; i, j = i+1, j-1 {
		host[i], host[j] = host[j], host[i]
	}
	return strings.Join(append(append(host, path[1:]...), t.Name()), ".")
}

// builtin shapes: types with a JSON form of their own, which the engine knows by name.
var builtin = map[string]string{
	"io.k8s.apimachinery.pkg.apis.meta.v1.Time":                     "time",
	"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime":                "microtime",
	"io.k8s.apimachinery.pkg.apis.meta.v1.Duration":                 "duration",
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":                 "fieldsv1",
	"io.k8s.apimachinery.pkg.api.resource.Quantity":                 "quantity",
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString":               "intorstring",
	"io.k8s.apimachinery.pkg.runtime.RawExtension":                  "raw",
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "json",
}

// either: structs whose JSON is the JSON of one of their members.
var either = map[string]bool{
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool":        true,
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray":       true,
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": true,
}

var (
	marshaler      = reflect.TypeFor[interface{ Marshal() ([]byte, error) }]()
	jsonUnmarshals = reflect.TypeFor[json.Unmarshaler]()
)

// wrapped tells whether a named list or map is a message of its own in the protobuf form.
func wrapped(t reflect.Type) bool {
	return t.Name() != "" && t.PkgPath() != "" && reflect.PointerTo(t).Implements(marshaler)
}

// shape names the form of a Go type and adds the named types it refers to.
func (t *table) shape(g reflect.Type) string {
	switch g.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int32:
		return "i32"
	case reflect.Int64, reflect.Int:
		return "i64"
	case reflect.Uint32:
		return "u32"
	case reflect.Uint64:
		return "u64"
	case reflect.Float64:
		return "f64"
	case reflect.String:
		return "str"
	case reflect.Interface:
		return "any"
	case reflect.Pointer:
		return t.shape(g.Elem())
	case reflect.Slice:
		if g.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		if wrapped(g) {
			return t.add(g)
		}
		if g.Elem().Kind() == reflect.Pointer {
			t.fail("%s: a list of pointers", g)
		}
		return "[]" + t.shape(g.Elem())
	case reflect.Map:
		if g.Key().Kind() != reflect.String {
			t.fail("%s: keys are not strings", g)
		}
		if wrapped(g) {
			return t.add(g)
		}
		return "{}" + t.shape(g.Elem())
	case reflect.Struct:
		return t.add(g)
	}
	t.fail("%s: no shape for this Go type", g)
	return "?"
}

// add puts a named type and everything it refers to into the table and returns the shape that names it.
func (t *table) add(g reflect.Type) string {
	name := modelName(g)
	if s, ok := builtin[name]; ok {
		if _, seen := t.types[name]; !seen {
			t.types[name] = &typ{name: name, goType: g, form: "alias", alias: s}
		}
		return s
	}
	if _, seen := t.types[name]; seen {
		return name
	}
	this := &typ{name: name, goType: g, form: "type"}
	t.types[name] = this
	switch {
	case g.Kind() != reflect.Struct:
		this.form = "alias"
		if g.Kind() == reflect.Map {
			this.alias = "{}" + t.shape(g.Elem())
		} else {
			this.alias = "[]" + t.shape(g.Elem())
		}
		return name
	case either[name]:
		this.form = "either"
	case reflect.PointerTo(g).Implements(jsonUnmarshals) && !inheritsUnmarshal(g):
		t.fail("%s: has a JSON form of its own that the table does not know", name)
	}
	for i := range g.NumField() {
		if f := t.field(this, g.Field(i)); f != nil {
			this.fields = append(this.fields, f)
		}
	}
	t.checkNumbers(this)
	return name
}

// inheritsUnmarshal: a promoted method of an embedded member is no form of its own.
func inheritsUnmarshal(g reflect.Type) bool {
	for i := range g.NumField() {
		if f := g.Field(i); f.Anonymous && reflect.PointerTo(f.Type).Implements(jsonUnmarshals) {
			return true
		}
	}
	return false
}

func (t *table) field(in *typ, s reflect.StructField) *field {
	f := &field{goName: s.Name, goType: s.Type}
	where := in.name + "." + s.Name
	tag, tagged := s.Tag.Lookup("json")
	parts := strings.Split(tag, ",")
	f.json = parts[0]
	if f.json == "-" && in.form != "either" {
		return nil
	}
	inline := s.Anonymous && f.json == ""
	for _, option := range parts[1:] {
		switch option {
		case "inline":
			inline = true
		case "omitempty":
			if f.omit == "" {
				f.omit = "omit"
			}
		case "omitzero":
			f.omit = "omitzero"
		default:
			t.fail("%s: unknown JSON option %q", where, option)
		}
	}
	proto := s.Tag.Get("protobuf")
	if in.form == "either" {
		f.json = ""
		for _, p := range strings.Split(proto, ",") {
			if n, ok := strings.CutPrefix(p, "name="); ok {
				f.json = n
			}
		}
		inline = false
	} else if !tagged && !inline {
		t.fail("%s: no JSON tag", where)
	}
	if inline {
		f.json, f.omit = "", ""
	} else if f.json == "" {
		t.fail("%s: no JSON name", where)
	}
	if s.Type.Kind() == reflect.Pointer {
		f.pointer = true
		f.goType = s.Type.Elem()
	}
	f.shape = t.shape(s.Type)
	t.protobuf(f, proto, where)
	if p := s.Tag.Get("patchStrategy"); p != "" {
		f.patch = strings.Split(p, ",")
	}
	f.mergeBy = s.Tag.Get("patchMergeKey")
	return f
}

// protobuf reads number and name from the tag; its other words are not reliable, see proto.go.
func (t *table) protobuf(f *field, tag, where string) {
	if tag == "" || tag == "-" {
		return
	}
	parts := strings.Split(tag, ",")
	if len(parts) < 2 {
		t.fail("%s: protobuf tag %q", where, tag)
		return
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 1 || n > 65535 {
		t.fail("%s: protobuf tag %q", where, tag)
		return
	}
	f.proto = n
	f.protoName = strings.ToLower(f.goName[:1]) + f.goName[1:]
	for _, p := range parts {
		if name, ok := strings.CutPrefix(p, "name="); ok {
			f.protoName = name
		}
	}
}

func (t *table) checkNumbers(in *typ) {
	seen := map[int]string{}
	for _, f := range in.fields {
		if f.proto == 0 {
			continue
		}
		if other, twice := seen[f.proto]; twice {
			t.fail("%s: %s and %s share the number %d", in.name, other, f.goName, f.proto)
		}
		seen[f.proto] = f.goName
	}
}

// flat is the field list as JSON sees it: inlined structs are replaced by their members.
func (t *table) flat(in *typ) []*field {
	var all []*field
	for _, f := range in.fields {
		if f.json == "" {
			all = append(all, t.flat(t.types[f.shape])...)
		} else {
			all = append(all, f)
		}
	}
	return all
}

func (t *table) names() []string {
	var names []string
	for n := range t.types {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

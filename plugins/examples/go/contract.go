package main

import (
	"fmt"
	"structs"
	"unsafe"
)

// The contract `pgloom:plugin@0.2.0`, as far as this plugin uses it, in the layout of the canonical ABI
// (https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md). A text and a list are an address
// and a length of 32 bits each. No value is freed: the host makes an instance for each call.

type slice struct {
	_       structs.HostLayout
	address uint32
	length  uint32
}

type option struct {
	_     structs.HostLayout
	isSet bool
	value slice
}

type objectKind struct {
	_                structs.HostLayout
	apiVersion, kind slice
}

type objectRef struct {
	_                      structs.HostLayout
	apiVersion, kind, name slice
}

type objectPermission struct {
	_                          structs.HostLayout
	kind                       objectKind
	names                      slice
	creates                    bool
	fields, overrides, removes slice
	optional                   bool
}

type requirement struct {
	_               structs.HostLayout
	plugin, version slice
}

type description struct {
	_                                    structs.HostLayout
	name, version, summary               slice
	configSchema, configExample          slice
	configKeys, credentials              slice
	relevant, desired, observed, objects slice
	privileges, actions, requires        slice
}

// The result of `describe`: a description, if it is not an error.
type described struct {
	_           structs.HostLayout
	isError     bool
	description description
}

// A contribution that applies a partial object; the other case, which removes a field, has four texts.
type contribution struct {
	_        structs.HostLayout
	isRemove bool
	object   slice
	_        [3]slice
}

type severity uint8

const (
	_ severity = iota
	warning
)

type finding struct {
	_        structs.HostLayout
	severity severity
	message  slice
	path     option
	object   struct {
		isSet bool
		value objectRef
	}
	remedy option
}

type response struct {
	_                                            structs.HostLayout
	contributions, actions, findings, conditions slice
}

// The result of `mutate`: a response, if it is not an error.
type mutated struct {
	_        structs.HostLayout
	isError  bool
	response response
}

// The result of `mutate`, if it is an error.
type failed struct {
	_       structs.HostLayout
	isError bool
	failure struct {
		reason  reason
		message slice
	}
}

// Why there is no response. The first reason, an invalid manifest, has findings in place of a message.
type reason uint8

const (
	_ reason = iota
	invalidConfig
	internal
)

// What the host was given or has given: the garbage collector does not see addresses of 32 bits.
var kept []any

func text(value string) slice {
	kept = append(kept, value)
	return slice{address: address(unsafe.StringData(value)), length: uint32(len(value))}
}

func list[T any](values ...T) slice {
	kept = append(kept, values)
	return slice{address: address(unsafe.SliceData(values)), length: uint32(len(values))}
}

func texts(values ...string) slice {
	var slices []slice
	for _, value := range values {
		slices = append(slices, text(value))
	}
	return list(slices...)
}

func some(value string) option { return option{isSet: true, value: text(value)} }

func address[T any](pointer *T) uint32 { return uint32(uintptr(unsafe.Pointer(pointer))) }

// The host allocates the texts of a request with this function.
//
//go:wasmexport cabi_realloc
func allocate(_ unsafe.Pointer, _, _, size uint32) unsafe.Pointer {
	// Numbers of 64 bits, for their alignment.
	memory := make([]uint64, (size+7)/8)
	kept = append(kept, memory)
	return unsafe.Pointer(unsafe.SliceData(memory))
}

//go:wasmexport pgloom:plugin/mutate-resources@0.2.0#describe
func exportedDescribe(_, _, _, _ uint32) unsafe.Pointer {
	result := &described{description: describe()}
	kept = append(kept, result)
	return unsafe.Pointer(result)
}

// The parameters are the fields of a request: cluster, operator-config, config, desired, observed and actions.
//
//go:wasmexport pgloom:plugin/mutate-resources@0.2.0#mutate
func exportedMutate(
	cluster *byte, clusterLength uint32, _, _ uint32, config *byte, configLength uint32, _, _, _, _, _, _ uint32,
) (pointer unsafe.Pointer) {
	// The host sees no output: without this a panic would be a trap without a text.
	defer func() {
		if problem := recover(); problem != nil {
			result := &failed{isError: true}
			result.failure.reason, result.failure.message = internal, text(fmt.Sprint(problem))
			kept = append(kept, result)
			pointer = unsafe.Pointer(result)
		}
	}()
	result := &mutated{response: mutate(unsafe.Slice(cluster, clusterLength), unsafe.Slice(config, configLength))}
	kept = append(kept, result)
	return unsafe.Pointer(result)
}

// A plugin has exports only.
func main() {}

// Reads and writes JSON text without a tree of values.
#include "json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

part part_of(const char *text) { return (part){text, strlen(text)}; }

bool part_equals(part one, part other) {
  return one.length == other.length && memcmp(one.start, other.start, one.length) == 0;
}

// The index behind a string that begins at an index.
static size_t behind_string(part json, size_t index) {
  for (index++; index < json.length && json.start[index] != '"'; index++) {
    if (json.start[index] == '\\') index++;
  }
  return index + 1;
}

// The index behind a value that begins at an index.
static size_t behind_value(part json, size_t index) {
  size_t depth = 0;
  while (index < json.length) {
    switch (json.start[index]) {
    case '"':
      index = behind_string(json, index);
      break;
    case '{':
    case '[':
      depth++;
      index++;
      break;
    case '}':
    case ']':
      if (depth == 0) return index;
      depth--;
      index++;
      break;
    case ',':
      if (depth == 0) return index;
      index++;
      continue;
    default:
      index++;
      continue;
    }
    if (depth == 0) return index;
  }
  return json.length;
}

static size_t skip(part json, size_t index, const char *characters) {
  while (index < json.length && strchr(characters, json.start[index]) != NULL) index++;
  return index;
}

bool json_next(part *object, part *key, part *value) {
  size_t begin = skip(*object, 0, "{, \n\r\t");
  if (begin >= object->length || object->start[begin] != '"') return false;
  size_t end = behind_string(*object, begin);
  *key = json_inside((part){object->start + begin, end - begin});
  begin = skip(*object, end, ": \n\r\t");
  end = behind_value(*object, begin);
  *value = (part){object->start + begin, end - begin};
  *object = (part){object->start + end, object->length - end};
  return true;
}

part json_get(part object, const char *key) {
  part found, value, wanted = part_of(key);
  while (json_next(&object, &found, &value)) {
    if (part_equals(found, wanted)) return value;
  }
  return (part){NULL, 0};
}

part json_inside(part string) { return (part){string.start + 1, string.length - 2}; }

void text_add_part(text *to, part added) {
  if (to->length + added.length > to->capacity) {
    to->capacity = 2 * (to->length + added.length);
    to->start = realloc(to->start, to->capacity);
    if (to->start == NULL) abort();
  }
  memcpy(to->start + to->length, added.start, added.length);
  to->length += added.length;
}

void text_add(text *to, const char *first, ...) {
  va_list rest;
  va_start(rest, first);
  for (const char *next = first; next != NULL; next = va_arg(rest, const char *)) text_add_part(to, part_of(next));
  va_end(rest);
}

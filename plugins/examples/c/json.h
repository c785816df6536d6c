// Reads and writes JSON text without a tree of values: the host gives valid JSON, and a part of it can be copied as it is.
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

// A part of a JSON text.
typedef struct {
  const char *start;
  size_t length;
} part;

part part_of(const char *text);
bool part_equals(part one, part other);

// The next member of an object: its key without quotes, and its value as it is written. The object becomes what follows.
bool json_next(part *object, part *key, part *value);

// The value of a key; empty, without a start, if there is none.
part json_get(part object, const char *key);

// What is between the quotes of a string, as it is written there.
part json_inside(part string);

// A text that grows.
typedef struct {
  char *start;
  size_t length;
  size_t capacity;
} text;

// Appends texts, up to a NULL.
void text_add(text *to, const char *first, ...);
void text_add_part(text *to, part added);

#endif

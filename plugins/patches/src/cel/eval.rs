//! Evaluates a syntax tree for a manifest.

use std::borrow::Cow;
use std::cmp::Ordering;

use pgloom_kit::Value;
use pgloom_kit::json::write as json;
use pgloom_kit::serde_json::{Map, Number};

use super::parser::{Expression, Node};
use super::{Error, ROOT};

type Result<'a> = std::result::Result<Cow<'a, Value>, Error>;

/// A variable and its value, and the variables of the outer scopes.
#[derive(Clone, Copy)]
struct Scope<'a> {
    name: &'a str,
    value: &'a Value,
    outer: Option<&'a Scope<'a>>,
}

/// The value of an expression.
pub fn value<'a>(node: &'a Node, cluster: &'a Value) -> Result<'a> {
    eval(node, &Scope { name: ROOT, value: cluster, outer: None }).map(|value| Cow::Owned(value.into_owned()))
}

/// The type of a value for a message, with its article; the names are CEL's.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(number) if number.is_f64() => "a double",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn eval<'a>(node: &'a Node, scope: &'a Scope<'a>) -> Result<'a> {
    match &node.kind {
        Expression::Literal(value) => Ok(Cow::Borrowed(value)),
        Expression::Variable(name) => variable(name, scope),
        Expression::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.push(eval(item, scope)?.into_owned());
            }
            Ok(Cow::Owned(Value::Array(list)))
        }
        Expression::Map(entries) => map(entries, scope),
        Expression::Field(target, name) => field(node.at, eval(target, scope)?, name),
        Expression::Has(target, name) => has(node.at, eval(target, scope)?.as_ref(), name),
        Expression::Index(target, index) => element(node.at, eval(target, scope)?, eval(index, scope)?.as_ref()),
        Expression::Function(name, values) => function(node.at, name, values, scope),
        Expression::Over { list, name, condition, is_all } => {
            over(node.at, eval(list, scope)?.as_ref(), name, condition, *is_all, scope)
        }
        Expression::Unary(sign, operand) => unary(node.at, sign, eval(operand, scope)?.as_ref()),
        Expression::Binary("&&", left, right) => logic(left, right, false, scope),
        Expression::Binary("||", left, right) => logic(left, right, true, scope),
        Expression::Binary(sign, left, right) => {
            binary(node.at, sign, eval(left, scope)?.as_ref(), eval(right, scope)?.as_ref())
        }
        Expression::Choice(condition, this, that) => {
            if truth(condition, scope)? {
                eval(this, scope)
            } else {
                eval(that, scope)
            }
        }
    }
}

fn yes<'a>(truth: bool) -> Result<'a> {
    Ok(Cow::Owned(Value::Bool(truth)))
}

fn variable<'a>(name: &str, scope: &'a Scope<'a>) -> Result<'a> {
    let mut next = Some(scope);
    while let Some(Scope { name: known, value, outer }) = next {
        if *known == name {
            return Ok(Cow::Borrowed(value));
        }
        next = *outer;
    }
    // The parser refuses unknown names.
    Ok(Cow::Owned(Value::Null))
}

fn map<'a>(entries: &'a [(Node, Node)], scope: &'a Scope<'a>) -> Result<'a> {
    let mut map = Map::new();
    for (key, value) in entries {
        let name = eval(key, scope)?;
        let Value::String(name) = name.as_ref() else {
            return Err(Error::new(key.at, format!("a key is {}", kind(&name)), "use strings as keys"));
        };
        map.insert(name.clone(), eval(value, scope)?.into_owned());
    }
    Ok(Cow::Owned(Value::Object(map)))
}

fn field<'a>(at: usize, target: Cow<'a, Value>, name: &str) -> Result<'a> {
    let missing = |target: &Value| match target {
        Value::Object(_) => {
            Error::new(at, format!("there is no field {name}"), "test it with has() first, joined by &&")
        }
        other => Error::new(
            at,
            format!("{} has no field {name}", kind(other)),
            "test the section in front of the dot with has() first",
        ),
    };
    match target {
        Cow::Borrowed(target) => target.get(name).map(Cow::Borrowed).ok_or_else(|| missing(target)),
        Cow::Owned(target) => target.get(name).cloned().map(Cow::Owned).ok_or_else(|| missing(&target)),
    }
}

fn has<'a>(at: usize, target: &Value, name: &str) -> Result<'a> {
    match target {
        Value::Object(fields) => yes(fields.get(name).is_some_and(|value| !value.is_null())),
        other => Err(Error::new(
            at,
            format!("has() cannot find the field {name} in {}", kind(other)),
            "test the section first, as in has(cluster.spec.tls) && has(cluster.spec.tls.caFile)",
        )),
    }
}

fn element<'a>(at: usize, target: Cow<'a, Value>, index: &Value) -> Result<'a> {
    let found = match (target.as_ref(), index) {
        (Value::Array(items), Value::Number(number)) => {
            let place = number.as_u64().and_then(|place| usize::try_from(place).ok());
            place.and_then(|place| items.get(place)).cloned()
        }
        (Value::Object(fields), Value::String(key)) => fields.get(key).cloned(),
        (target, index) => {
            let message = format!("{} has no element of {}", kind(target), kind(index));
            return Err(Error::new(at, message, "use an integer for a list, and a string for a map"));
        }
    };
    let remedy = "test with size() or in whether the element exists";
    found.map(Cow::Owned).ok_or_else(|| Error::new(at, format!("there is no element {}", json(index)), remedy))
}

fn function<'a>(at: usize, name: &str, values: &'a [Node], scope: &'a Scope<'a>) -> Result<'a> {
    let mut given = Vec::with_capacity(values.len());
    for value in values {
        given.push(eval(value, scope)?);
    }
    let given: Vec<&Value> = given.iter().map(Cow::as_ref).collect();
    match (name, &given[..]) {
        ("size", [Value::String(text)]) => Ok(Cow::Owned(text.chars().count().into())),
        ("size", [Value::Array(items)]) => Ok(Cow::Owned(items.len().into())),
        ("size", [Value::Object(fields)]) => Ok(Cow::Owned(fields.len().into())),
        ("startsWith", [Value::String(text), Value::String(part)]) => yes(text.starts_with(part.as_str())),
        ("endsWith", [Value::String(text), Value::String(part)]) => yes(text.ends_with(part.as_str())),
        ("contains", [Value::String(text), Value::String(part)]) => yes(text.contains(part.as_str())),
        (_, given) => {
            let kinds: Vec<&str> = given.iter().map(|value| kind(value)).collect();
            let message = format!("{name} does not take {}", kinds.join(" and "));
            Err(Error::new(at, message, "use size for a string, a list or a map, and the others for strings"))
        }
    }
}

fn over<'a>(
    at: usize,
    list: &Value,
    name: &'a str,
    condition: &'a Node,
    is_all: bool,
    outer: &'a Scope<'a>,
) -> Result<'a> {
    let keys: Vec<Value>;
    let items = match list {
        Value::Array(items) => items,
        Value::Object(fields) => {
            keys = fields.keys().cloned().map(Value::String).collect();
            &keys
        }
        other => {
            return Err(Error::new(
                at,
                format!("{} is not a list", kind(other)),
                "test with has() whether the list exists",
            ));
        }
    };
    // As with && and ||, an error of one item is ignored if another item decides.
    let mut failure = None;
    for value in items {
        match truth(condition, &Scope { name, value, outer: Some(outer) }) {
            Ok(holds) if holds != is_all => return yes(!is_all),
            Ok(_) => {}
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or_else(|| yes(is_all), Err)
}

fn truth<'a>(node: &'a Node, scope: &'a Scope<'a>) -> std::result::Result<bool, Error> {
    let value = eval(node, scope)?;
    value.as_bool().ok_or_else(|| {
        Error::new(node.at, format!("{} is used as a condition", kind(&value)), "compare it with another value")
    })
}

/// `&&` and `||`: a side that is `decisive` decides, even if the other side fails.
fn logic<'a>(left: &'a Node, right: &'a Node, decisive: bool, scope: &'a Scope<'a>) -> Result<'a> {
    let left = truth(left, scope);
    if left == Ok(decisive) {
        return yes(decisive);
    }
    let right = truth(right, scope);
    if right == Ok(decisive) {
        return yes(decisive);
    }
    left.and(right).and_then(yes)
}

fn unary<'a>(at: usize, sign: &str, operand: &Value) -> Result<'a> {
    let negated = match (sign, operand) {
        ("!", Value::Bool(truth)) => Some(Value::Bool(!truth)),
        ("-", Value::Number(number)) => match number.as_i64() {
            Some(whole) => whole.checked_neg().map(Value::from),
            None => number.as_f64().map(|number| Value::from(-number)),
        },
        _ => None,
    };
    negated.map(Cow::Owned).ok_or_else(|| {
        Error::new(at, format!("\"{sign}\" does not take {}", kind(operand)), "use ! for a bool, and - for a number")
    })
}

fn binary<'a>(at: usize, sign: &str, left: &Value, right: &Value) -> Result<'a> {
    match sign {
        "==" => yes(equal(left, right)),
        "!=" => yes(!equal(left, right)),
        "in" => contains(at, left, right),
        "<" | "<=" | ">" | ">=" => {
            let order = compare(left, right).ok_or_else(|| unfit(at, sign, left, right))?;
            yes(match sign {
                "<" => order == Ordering::Less,
                "<=" => order != Ordering::Greater,
                ">" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
        _ => arithmetic(sign, left, right).map(Cow::Owned).ok_or_else(|| unfit(at, sign, left, right)),
    }
}

fn unfit(at: usize, sign: &str, left: &Value, right: &Value) -> Error {
    let message = format!("\"{sign}\" does not take these values: {} and {}", kind(left), kind(right));
    Error::new(at, message, "use two values of one type")
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => compare(left, right) == Some(Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let has = |(key, left): (&String, &Value)| right.get(key).is_some_and(|right| equal(left, right));
            left.len() == right.len() && left.iter().all(has)
        }
        _ => left == right,
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn contains<'a>(at: usize, item: &Value, whole: &Value) -> Result<'a> {
    match whole {
        Value::Array(items) => yes(items.iter().any(|other| equal(item, other))),
        Value::Object(fields) => yes(item.as_str().is_some_and(|key| fields.contains_key(key))),
        other => {
            Err(Error::new(at, format!("{} has no elements", kind(other)), "use a list or a map on the right side"))
        }
    }
}

/// The result of an arithmetic operator; none for other types, or if there is no result.
fn arithmetic(sign: &str, left: &Value, right: &Value) -> Option<Value> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(sign, left, right),
        (Value::String(left), Value::String(right)) if sign == "+" => Some(format!("{left}{right}").into()),
        (Value::Array(left), Value::Array(right)) if sign == "+" => Some(Value::Array([&left[..], right].concat())),
        _ => None,
    }
}

fn numbers(sign: &str, left: &Number, right: &Number) -> Option<Value> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return match sign {
            "+" => left.checked_add(right),
            "-" => left.checked_sub(right),
            "*" => left.checked_mul(right),
            "/" => left.checked_div(right),
            _ => left.checked_rem(right),
        }
        .map(Value::from);
    }
    // CEL mixes integers and doubles in comparisons only.
    if !left.is_f64() || !right.is_f64() {
        return None;
    }
    let (left, right) = (left.as_f64()?, right.as_f64()?);
    let result = match sign {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" => left / right,
        _ => return None,
    };
    Number::from_f64(result).map(Value::Number)
}

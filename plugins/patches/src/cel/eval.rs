//! From a tree to its value for a manifest.

use std::borrow::Cow;
use std::cmp::Ordering;

use pgloom_kit::Value;
use pgloom_kit::json::write as json;
use pgloom_kit::serde_json::{Map, Number};

use super::parser::{Expression, Node};
use super::{ROOT, Wrong};

type Result<'a> = std::result::Result<Cow<'a, Value>, Wrong>;

/// Variables and their values, the innermost first.
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

/// What a value is, for people.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text",
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
    // The parser lets no other name through.
    Ok(Cow::Owned(Value::Null))
}

fn map<'a>(entries: &'a [(Node, Node)], scope: &'a Scope<'a>) -> Result<'a> {
    let mut map = Map::new();
    for (key, value) in entries {
        let name = eval(key, scope)?;
        let Value::String(name) = name.as_ref() else {
            return Err(Wrong::new(key.at, ["a key is ", kind(&name)].concat(), "use texts as keys"));
        };
        map.insert(name.clone(), eval(value, scope)?.into_owned());
    }
    Ok(Cow::Owned(Value::Object(map)))
}

fn field<'a>(at: usize, target: Cow<'a, Value>, name: &str) -> Result<'a> {
    let missing = |target: &Value| match target {
        Value::Object(_) => {
            Wrong::new(at, ["there is no field ", name].concat(), "ask has() for it first, joined by &&")
        }
        other => Wrong::new(
            at,
            [kind(other), " has no field ", name].concat(),
            "test with has() that the section in front of the dot is there",
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
        other => Err(Wrong::new(
            at,
            ["has() asks ", kind(other), " for the field ", name].concat(),
            "test for the section in front of it first, as in has(cluster.spec.tls) && has(cluster.spec.tls.caFile)",
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
            let message = [kind(target), " has no element of ", kind(index)].concat();
            return Err(Wrong::new(at, message, "use a whole number for a list, and a text for a map"));
        }
    };
    let remedy = "test with size() or in that the element is there";
    found.map(Cow::Owned).ok_or_else(|| Wrong::new(at, ["there is no element ", &json(index)].concat(), remedy))
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
            let message = [name, " does not take ", &kinds.join(" and ")].concat();
            Err(Wrong::new(at, message, "give size a text, a list or a map, and the others texts"))
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
            return Err(Wrong::new(
                at,
                [kind(other), " is no list"].concat(),
                "test with has() that the list is there",
            ));
        }
    };
    // As with && and ||, one item that decides makes up for others that fail.
    let mut failure = None;
    for value in items {
        match truth(condition, &Scope { name, value, outer: Some(outer) }) {
            Ok(holds) if holds != is_all => return yes(!is_all),
            Ok(_) => {}
            Err(wrong) => failure = failure.or(Some(wrong)),
        }
    }
    failure.map_or_else(|| yes(is_all), Err)
}

fn truth<'a>(node: &'a Node, scope: &'a Scope<'a>) -> std::result::Result<bool, Wrong> {
    let value = eval(node, scope)?;
    value.as_bool().ok_or_else(|| {
        Wrong::new(node.at, [kind(&value), " stands where true or false has to"].concat(), "compare it with something")
    })
}

/// `decisive` on one side decides, even if the other side fails.
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
        Wrong::new(
            at,
            ["\"", sign, "\" does not take ", kind(operand)].concat(),
            "use ! for true or false, and - for numbers",
        )
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

fn unfit(at: usize, sign: &str, left: &Value, right: &Value) -> Wrong {
    let message = ["\"", sign, "\" does not take ", kind(left), " and ", kind(right), ", or not these"].concat();
    Wrong::new(at, message, "use two values of one kind")
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
        other => Err(Wrong::new(at, ["nothing is in ", kind(other)].concat(), "use a list or a map on the right side")),
    }
}

/// None if the values do not fit, or the result does not exist.
fn arithmetic(sign: &str, left: &Value, right: &Value) -> Option<Value> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(sign, left, right),
        (Value::String(left), Value::String(right)) if sign == "+" => Some([left.as_str(), right].concat().into()),
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
    // CEL mixes whole numbers and fractions in comparisons only.
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

//! What holds for every input.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::subsequence};

use super::*;

/// The leaves that a generated fragment may set: 12 variables of each of 5 containers, and 6 labels.
const VARIABLES: usize = 12;
const LABELS: usize = 5 * VARIABLES;
const LEAVES: usize = LABELS + 6;

fn some_leaves() -> impl Strategy<Value = Vec<usize>> {
    subsequence((0..LEAVES).collect::<Vec<_>>(), 0..30).prop_shuffle()
}

/// The fragment that sets these leaves, in this order. A leaf has one value, unless it is among the `odd` ones.
fn fragment(leaves: &[usize], odd: &[usize]) -> Value {
    let value = |leaf: usize| json!(format!("{leaf}{}", if odd.contains(&leaf) { "-odd" } else { "" }));
    let mut containers: Vec<(usize, Vec<Value>)> = Vec::new();
    let mut labels = Map::new();
    for &leaf in leaves {
        if leaf >= LABELS {
            labels.insert(format!("label-{leaf}"), value(leaf));
            continue;
        }
        let (container, variable) = (leaf / VARIABLES, leaf % VARIABLES);
        let place = containers.iter().position(|(known, _)| *known == container).unwrap_or_else(|| {
            containers.push((container, Vec::new()));
            containers.len() - 1
        });
        containers[place].1.push(json!({"name": format!("V{variable}"), "value": value(leaf)}));
    }
    let container = |(name, env): (usize, Vec<Value>)| json!({"name": format!("c{name}"), "env": env});
    let mut fragment = pod(json!({"containers": containers.into_iter().map(container).collect::<Vec<_>>()}));
    fragment["metadata"]["labels"] = labels.into();
    fragment
}

/// The object that steps make of these fragments, in this order.
fn object(fragments: &[&Value]) -> Value {
    let fragments: Vec<_> =
        ["a", "b", "c"].into_iter().zip(fragments.iter().map(|fragment| (*fragment).clone())).collect();
    merged(&fragments).object
}

/// The leaves of an object, without the order of its lists.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    fn collect(value: &Value, path: &str, leaves: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| collect(value, &format!("{path}.{name}"), leaves));
            }
            Value::Array(items) => {
                items.iter().for_each(|item| collect(item, &format!("{path}.{}", item["name"]), leaves));
            }
            leaf => drop(leaves.insert(path.to_owned(), leaf.clone())),
        }
    }
    let mut all = BTreeMap::new();
    collect(value, "", &mut all);
    all
}

fn order(of: &Value) -> Vec<String> {
    names(&of["spec"]["template"]["spec"]["containers"]).into_iter().map(str::to_owned).collect()
}

proptest! {
    #[test]
    fn the_order_of_steps_does_not_matter_if_none_of_them_conflict(a in some_leaves(), b in some_leaves(), c in some_leaves()) {
        let [a, b, c] = [a, b, c].map(|leaves| fragment(&leaves, &[]));
        let there = leaves(&object(&[&a, &b, &c]));
        prop_assert_eq!(&there, &leaves(&object(&[&c, &b, &a])));
        prop_assert_eq!(&there, &leaves(&object(&[&b, &a, &c])));
    }

    #[test]
    fn several_steps_give_what_one_step_with_all_fields_would_give(a in some_leaves(), b in some_leaves(), c in some_leaves()) {
        let [a, b, c] = [a, b, c].map(|leaves| fragment(&leaves, &[]));
        prop_assert_eq!(leaves(&object(&[&object(&[&a, &b]), &c])), leaves(&object(&[&a, &object(&[&b, &c])])));
    }

    #[test]
    fn contributing_twice_changes_nothing(a in some_leaves(), b in some_leaves()) {
        let [a, b] = [a, b].map(|leaves| fragment(&leaves, &[]));
        let once = object(&[&a, &b]);
        prop_assert_eq!(&object(&[&a, &b, &b]), &once);
        prop_assert_eq!(&object(&[&once, &once]), &once);
    }

    #[test]
    fn two_steps_conflict_exactly_if_they_set_one_leaf_to_different_values(
        a in some_leaves(), b in some_leaves(), odd in some_leaves(),
    ) {
        let differ = b.iter().any(|leaf| odd.contains(leaf) && a.contains(leaf));
        let [a, b] = [fragment(&a, &[]), fragment(&b, &odd)];
        prop_assert_eq!(merge(&[("a", a.clone()), ("b", b.clone())]).is_err(), differ);
        prop_assert_eq!(merge(&[("b", b), ("a", a)]).is_err(), differ);
    }

    #[test]
    fn the_last_step_decides_the_order_of_the_entries_that_it_names(a in some_leaves(), b in some_leaves()) {
        let [a, b] = [a, b].map(|leaves| fragment(&leaves, &[]));
        let spoken = order(&b);
        let kept: Vec<String> = order(&object(&[&a, &b])).into_iter().filter(|name| spoken.contains(name)).collect();
        prop_assert_eq!(kept, spoken);
    }

    #[test]
    fn every_leaf_has_all_steps_that_set_it(a in some_leaves(), b in some_leaves()) {
        let [a, b] = [a, b].map(|leaves| fragment(&leaves, &[]));
        let object = merged(&[("a", a.clone()), ("b", b.clone())]);
        for name in object.object["metadata"]["labels"].as_object().unwrap().keys() {
            let sets = |fragment: &Value| fragment["metadata"]["labels"].get(name).is_some();
            let steps: Vec<&str> = [("a", &a), ("b", &b)].iter().filter(|(_, of)| sets(of)).map(|(step, _)| *step).collect();
            prop_assert_eq!(&object.owners[&format!("metadata.labels.{name}")], &steps.join(", "));
        }
    }
}

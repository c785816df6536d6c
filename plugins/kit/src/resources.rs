//! How much of a node a container asks for and may take: what the manifest says, defaults, and the bounds of the platform.

use std::collections::BTreeMap;

use pgloom_common::quantity::Quantity;
use serde_json::Value;

use crate::field::{Field, Wrong};
use crate::object::{self, object, unless_empty};
use crate::{Notes, Result, invalid, invalid_config};

/// What containers ask for, in Kubernetes' words.
pub const CPU: &str = "cpu";
/// What containers ask for, in Kubernetes' words.
pub const MEMORY: &str = "memory";

crate::fields! {
    /// `resources` of a manifest: amounts by the name of the resource, as in `cpu`, `memory`, `hugepages-2Mi`.
    pub struct Resources {
        /// What the node has to have left.
        pub requests: Amounts = "requests",
        /// What the container never gets more of.
        pub limits: Amounts = "limits",
        /// Dynamic resource allocation, as it is.
        pub claims: Value = "claims",
    }
}

crate::field::by_serde!(Resources);

/// Quantities by the name of the resource, each as it was written: text, or a whole number.
#[derive(Default)]
pub struct Amounts(BTreeMap<String, String>);

impl Field for Amounts {
    const WANTED: &'static str = "a map of quantities, as in cpu: 250m";

    fn take(value: &Value) -> Result<Self, Wrong> {
        let wrong = || Wrong { path: String::new(), wanted: Self::WANTED.into() };
        let mut amounts = BTreeMap::new();
        for (name, amount) in value.as_object().ok_or_else(wrong)? {
            let amount = match amount {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.as_u64().ok_or_else(wrong)?.to_string(),
                Value::Null => continue,
                _ => return Err(wrong()),
            };
            amounts.insert(name.clone(), amount);
        }
        Ok(Self(amounts))
    }
}

/// What a container gets where the manifest says nothing. An empty text, `0` or `null` means: nothing there either.
#[derive(Clone, Copy, Default)]
pub struct Defaults<'a> {
    /// Requested CPU.
    pub cpu_request: &'a str,
    /// Requested memory.
    pub memory_request: &'a str,
    /// Most CPU.
    pub cpu_limit: &'a str,
    /// Most memory.
    pub memory_limit: &'a str,
}

crate::operator_config! {
    /// The operator configuration's keys about the resources of database pods.
    pub struct PodResources {
        /// Requested CPU where the manifest says nothing.
        pub default_cpu_request: String,
        /// Requested memory where the manifest says nothing.
        pub default_memory_request: String,
        /// Most CPU where the manifest says nothing.
        pub default_cpu_limit: String,
        /// Most memory where the manifest says nothing.
        pub default_memory_limit: String,
        /// Whether memory is requested as much as it is limited.
        pub set_memory_request_to_limit: bool,
    }
}

impl PodResources {
    /// The defaults.
    pub fn defaults(&self) -> Defaults<'_> {
        Defaults {
            cpu_request: &self.default_cpu_request,
            memory_request: &self.default_memory_request,
            cpu_limit: &self.default_cpu_limit,
            memory_limit: &self.default_memory_limit,
        }
    }
}

/// What the platform allows the database's container. An empty text means: no bound.
#[derive(Clone, Copy, Default)]
pub struct Bounds<'a> {
    /// Least CPU limit.
    pub min_cpu_limit: &'a str,
    /// Least memory limit.
    pub min_memory_limit: &'a str,
    /// Most requested CPU.
    pub max_cpu_request: &'a str,
    /// Most requested memory.
    pub max_memory_request: &'a str,
}

/// How the amounts of one container are worked out.
pub struct Rules<'a> {
    /// Where the manifest says `resources`, as in `spec.sidecars[0].resources`.
    pub path: &'a str,
    /// For what it leaves out.
    pub defaults: Defaults<'a>,
    /// What is allowed.
    pub bounds: Bounds<'a>,
    /// Whether memory is requested as much as it is limited.
    pub memory_request_to_limit: bool,
}

/// One resource of a container, while it is worked out.
struct Share {
    name: &'static str,
    request: Option<Quantity>,
    limit: Option<Quantity>,
    /// Whether the manifest says so, and not a default.
    own_request: bool,
    own_limit: bool,
}

impl Rules<'_> {
    /// The container's `resources`, in canonical quantities: first what the manifest says or else the defaults, then the least
    /// limits, then no request above its limit, then the memory request at its limit, then the most requests.
    ///
    /// # Errors
    /// If an amount cannot be read, or a request of the manifest is above its own limit.
    pub fn requirements(&self, given: &Resources, notes: &mut Notes) -> Result<Value> {
        let Defaults { cpu_request, memory_request, cpu_limit, memory_limit } = self.defaults;
        let Bounds { min_cpu_limit, min_memory_limit, max_cpu_request, max_memory_request } = self.bounds;
        let mut cpu = self.share(CPU, given, cpu_request, cpu_limit)?;
        let mut memory = self.share(MEMORY, given, memory_request, memory_limit)?;
        self.raise(&mut cpu, min_cpu_limit, notes)?;
        self.raise(&mut memory, min_memory_limit, notes)?;
        self.reconcile(&mut cpu, notes)?;
        self.reconcile(&mut memory, notes)?;
        if self.memory_request_to_limit && memory.limit.is_some() {
            memory.request.clone_from(&memory.limit);
        }
        self.cap(&mut cpu, max_cpu_request, notes)?;
        self.cap(&mut memory, max_memory_request, notes)?;

        let mut requests = self.others("requests", &given.requests)?;
        let mut limits = self.others("limits", &given.limits)?;
        for Share { name, request, limit, .. } in [cpu, memory] {
            if let Some(request) = request {
                requests.insert(name.to_owned(), request.canonical());
            }
            if let Some(limit) = limit {
                limits.insert(name.to_owned(), limit.canonical());
            }
        }
        Ok(object([
            ("requests", unless_empty(object::map(requests))),
            ("limits", unless_empty(object::map(limits))),
            ("claims", given.claims.clone()),
        ]))
    }

    fn share(
        &self,
        name: &'static str,
        given: &Resources,
        default_request: &str,
        default_limit: &str,
    ) -> Result<Share> {
        let (request, own_request) = self.amount("requests", &given.requests, name, default_request)?;
        let (limit, own_limit) = self.amount("limits", &given.limits, name, default_limit)?;
        Ok(Share { name, request, limit, own_request, own_limit })
    }

    /// What the manifest says, and true, or the default.
    fn amount(&self, side: &str, given: &Amounts, name: &str, default: &str) -> Result<(Option<Quantity>, bool)> {
        match given.0.get(name).filter(|amount| says_something(amount)) {
            Some(text) => Ok((Some(self.parse(side, name, text)?), true)),
            None => Ok((configured(default)?, false)),
        }
    }

    fn parse(&self, side: &str, name: &str, text: &str) -> Result<Quantity> {
        Quantity::parse(text).ok().filter(|amount| !amount.is_negative()).ok_or_else(|| {
            invalid(
                [self.path, ".", side, ".", name].concat(),
                ["\"", text, "\" is no amount of ", name].concat(),
                "write a Kubernetes quantity, as in 250m, 0.5, 500Mi or 1Gi",
            )
        })
    }

    /// Everything but CPU and memory: it has no defaults and no bounds.
    fn others(&self, side: &str, given: &Amounts) -> Result<BTreeMap<String, String>> {
        let mut others = BTreeMap::new();
        for (name, text) in &given.0 {
            if name != CPU && name != MEMORY && says_something(text) {
                others.insert(name.clone(), self.parse(side, name, text)?.canonical());
            }
        }
        Ok(others)
    }

    fn raise(&self, share: &mut Share, floor: &str, notes: &mut Notes) -> Result<()> {
        let (Some(limit), Some(floor)) = (&share.limit, configured(floor)?) else { return Ok(()) };
        if *limit < floor {
            notes.warn(
                [self.path, ".limits.", share.name].concat(),
                [
                    "the limit of ",
                    limit.text(),
                    " ",
                    share.name,
                    " is raised to the configured minimum of ",
                    floor.text(),
                ]
                .concat(),
                ["set a limit of at least ", floor.text()].concat(),
            );
            share.limit = Some(floor);
        }
        Ok(())
    }

    /// A request above its limit is refused by the API server. Two words of the manifest that contradict each other are for
    /// its author to settle; where one side is a default, the limit gives way, and the manifest's limit does so aloud.
    fn reconcile(&self, share: &mut Share, notes: &mut Notes) -> Result<()> {
        let (Some(request), Some(limit)) = (&share.request, &share.limit) else { return Ok(()) };
        if request <= limit {
            return Ok(());
        }
        if share.own_request && share.own_limit {
            return Err(invalid(
                [self.path, ".requests.", share.name].concat(),
                ["the request of ", request.text(), " ", share.name, " is above the limit of ", limit.text()].concat(),
                "lower the request or raise the limit",
            ));
        }
        if share.own_limit {
            notes.warn(
                [self.path, ".limits.", share.name].concat(),
                [
                    "the limit of ",
                    limit.text(),
                    " ",
                    share.name,
                    " is raised to the default request of ",
                    request.text(),
                ]
                .concat(),
                "write the request, too, at most as large as the limit",
            );
        }
        share.limit.clone_from(&share.request);
        Ok(())
    }

    fn cap(&self, share: &mut Share, ceiling: &str, notes: &mut Notes) -> Result<()> {
        let (Some(request), Some(ceiling)) = (&share.request, configured(ceiling)?) else { return Ok(()) };
        if *request > ceiling {
            notes.warn(
                [self.path, ".requests.", share.name].concat(),
                [
                    "the request of ",
                    request.text(),
                    " ",
                    share.name,
                    " is lowered to the configured maximum of ",
                    ceiling.text(),
                ]
                .concat(),
                ["request at most ", ceiling.text()].concat(),
            );
            share.request = Some(ceiling);
        }
        Ok(())
    }
}

fn configured(text: &str) -> Result<Option<Quantity>> {
    if !says_something(text) {
        return Ok(None);
    }
    let amount = Quantity::parse(text);
    amount
        .map(Some)
        .map_err(|_| invalid_config(["\"", text, "\" is no quantity; write it as in 250m or 500Mi"].concat()))
}

fn says_something(text: &str) -> bool {
    !matches!(text, "" | "0" | "null")
}

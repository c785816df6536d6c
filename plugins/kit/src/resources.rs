//! The `resources` of a container: the manifest's requests and limits, defaults, and the bounds of the operator
//! configuration.

use std::collections::BTreeMap;

use pgloom_common::quantity::Quantity;
use serde_json::Value;

use crate::json::field::{Error, Field};
use crate::json::{self, object, unless_empty};
use crate::{Failure, Result, Warnings, invalid, invalid_config};

/// Kubernetes' name of the resource: cores, as in `250m`.
pub const CPU: &str = "cpu";
/// Kubernetes' name of the resource: bytes, as in `500Mi`.
pub const MEMORY: &str = "memory";

crate::fields! {
    /// `resources` of a manifest, as in `Container.resources`; resources are `cpu`, `memory`, `hugepages-2Mi` and
    /// others.
    pub struct Resources {
        /// What the scheduler reserves on a node.
        pub requests: ResourceList = "requests",
        /// The most that the container may use.
        pub limits: ResourceList = "limits",
        /// Claims of dynamic resource allocation; they are copied unchanged.
        pub claims: Value = "claims",
    }
}

crate::json::field::by_serde!(Resources);

/// Quantities by the name of the resource, as written in the manifest: a string or an integer.
#[derive(Default)]
pub struct ResourceList(BTreeMap<String, String>);

impl Field for ResourceList {
    const EXPECTED: &'static str = "a map of quantities, as in cpu: 250m";

    fn take(value: &Value) -> Result<Self, Error> {
        let error = || Error { path: String::new(), expected: Self::EXPECTED.into() };
        let mut quantities = BTreeMap::new();
        for (name, quantity) in value.as_object().ok_or_else(error)? {
            let quantity = match quantity {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.as_u64().ok_or_else(error)?.to_string(),
                Value::Null => continue,
                _ => return Err(error()),
            };
            quantities.insert(name.clone(), quantity);
        }
        Ok(Self(quantities))
    }
}

/// One of each for the two resources that have defaults and bounds.
#[derive(Clone, Copy, Default)]
pub struct PerResource<T> {
    /// That of the CPU.
    pub cpu: T,
    /// That of the memory.
    pub memory: T,
}

/// Quantities for what the manifest leaves out. An empty string, `null` or a zero means: no request, or no limit.
#[derive(Clone, Copy, Default)]
pub struct Defaults<'a> {
    /// The request.
    pub request: &'a str,
    /// The limit.
    pub limit: &'a str,
}

crate::operator_config! {
    /// The operator configuration's keys about the resources of database pods.
    pub struct PodResources {
        /// CPU request, if the manifest has none.
        pub default_cpu_request: String,
        /// Memory request, if the manifest has none.
        pub default_memory_request: String,
        /// CPU limit, if the manifest has none.
        pub default_cpu_limit: String,
        /// Memory limit, if the manifest has none.
        pub default_memory_limit: String,
        /// Whether the memory request is set to the memory limit.
        pub set_memory_request_to_limit: bool,
    }
}

impl PodResources {
    /// The keys as [`Defaults`].
    pub fn defaults(&self) -> PerResource<Defaults<'_>> {
        PerResource {
            cpu: Defaults { request: &self.default_cpu_request, limit: &self.default_cpu_limit },
            memory: Defaults { request: &self.default_memory_request, limit: &self.default_memory_limit },
        }
    }
}

/// The bounds of the database's container. An empty string or a zero means no bound.
#[derive(Clone, Copy, Default)]
pub struct Bounds<'a> {
    /// The lowest limit.
    pub min_limit: &'a str,
    /// The highest request.
    pub max_request: &'a str,
}

/// The rules for the `resources` of one container.
pub struct Rules<'a> {
    /// The path of `resources` in the manifest, as in `spec.sidecars[0].resources`.
    pub path: &'a str,
    /// Values for what the manifest leaves out.
    pub defaults: PerResource<Defaults<'a>>,
    /// The bounds of requests and limits.
    pub bounds: PerResource<Bounds<'a>>,
    /// Whether the memory request is set to the memory limit.
    pub memory_request_to_limit: bool,
}

/// Request and limit of one resource of a container.
struct Share {
    name: &'static str,
    request: Option<Quantity>,
    limit: Option<Quantity>,
    /// Whether the request is the manifest's, and not a default.
    own_request: bool,
    /// The same for the limit.
    own_limit: bool,
}

/// Checks the resources of a container that gets neither defaults nor bounds. `path` is that of its `resources`.
///
/// # Errors
/// If a quantity cannot be read, or a request is above its limit.
pub fn check(path: &str, given: &Value, warnings: &mut Warnings) -> Result<()> {
    let rules = Rules {
        path,
        defaults: PerResource::default(),
        bounds: PerResource::default(),
        memory_request_to_limit: false,
    };
    rules.requirements(&read(path, given)?, warnings).map(drop)
}

/// Reads the resources of a container; null means none. `path` is that of its `resources`.
///
/// # Errors
/// If they have another form.
pub fn read(path: &str, given: &Value) -> Result<Resources> {
    if given.is_null() {
        return Ok(Resources::default());
    }
    Resources::take(given).map_err(|error| {
        let path = if error.path.is_empty() { path.to_owned() } else { format!("{path}.{}", error.path) };
        invalid(
            path,
            format!("the value is not {}", error.expected),
            "write it as in limits: {cpu: 500m, memory: 500Mi}",
        )
    })
}

impl Rules<'_> {
    /// The container's `resources`, in canonical quantities. In this order: the manifest's values or the defaults;
    /// limits are raised to the lowest ones allowed; limits are raised to their requests; the memory request is set to
    /// its limit; requests are lowered to the highest ones allowed.
    ///
    /// # Errors
    /// If a quantity cannot be read, or a request of the manifest is above the manifest's own limit.
    pub fn requirements(&self, given: &Resources, warnings: &mut Warnings) -> Result<Value> {
        warn_of_parts(self.path, given, warnings);
        let mut cpu = self.share(CPU, given, &self.defaults.cpu)?;
        let mut memory = self.share(MEMORY, given, &self.defaults.memory)?;
        self.raise(&mut cpu, self.bounds.cpu.min_limit, warnings)?;
        self.raise(&mut memory, self.bounds.memory.min_limit, warnings)?;
        self.reconcile(&mut cpu, warnings)?;
        self.reconcile(&mut memory, warnings)?;
        if self.memory_request_to_limit && memory.limit.is_some() {
            memory.request.clone_from(&memory.limit);
        }
        self.cap(&mut cpu, self.bounds.cpu.max_request, warnings)?;
        self.cap(&mut memory, self.bounds.memory.max_request, warnings)?;

        let mut requests = self.others("requests", &given.requests)?;
        let mut limits = self.others("limits", &given.limits)?;
        self.compare_others(given)?;
        for Share { name, request, limit, .. } in [cpu, memory] {
            if let Some(request) = request {
                requests.insert(name.to_owned(), request.canonical());
            }
            if let Some(limit) = limit {
                limits.insert(name.to_owned(), limit.canonical());
            }
        }
        Ok(object([
            ("requests", unless_empty(json::map(requests))),
            ("limits", unless_empty(json::map(limits))),
            ("claims", given.claims.clone()),
        ]))
    }

    fn share(&self, name: &'static str, given: &Resources, defaults: &Defaults<'_>) -> Result<Share> {
        let (request, own_request) = self.quantity("requests", &given.requests, name, defaults.request)?;
        let (limit, own_limit) = self.quantity("limits", &given.limits, name, defaults.limit)?;
        Ok(Share { name, request, limit, own_request, own_limit })
    }

    /// The manifest's quantity and true, or the default and false.
    fn quantity(
        &self,
        side: &str,
        given: &ResourceList,
        name: &str,
        default: &str,
    ) -> Result<(Option<Quantity>, bool)> {
        match given.0.get(name).filter(|quantity| is_given(quantity)) {
            Some(text) => Ok((Some(self.parse(side, name, text)?), true)),
            None => Ok((configured(default)?, false)),
        }
    }

    fn parse(&self, side: &str, name: &str, text: &str) -> Result<Quantity> {
        Quantity::parse(text).ok().filter(|quantity| !quantity.is_negative()).ok_or_else(|| {
            invalid(
                format!("{}.{side}.{name}", self.path),
                format!("\"{text}\" is not a quantity of {name}"),
                "write a Kubernetes quantity, as in 250m, 0.5, 500Mi or 1Gi",
            )
        })
    }

    /// All resources except CPU and memory; they have no defaults and no bounds.
    fn others(&self, side: &str, given: &ResourceList) -> Result<BTreeMap<String, String>> {
        let mut others = BTreeMap::new();
        for (name, text) in &given.0 {
            if name != CPU && name != MEMORY && is_given(text) {
                others.insert(name.clone(), self.parse(side, name, text)?.canonical());
            }
        }
        Ok(others)
    }

    /// The API server refuses a request above its limit.
    fn compare_others(&self, given: &Resources) -> Result<()> {
        for (name, limit) in &given.limits.0 {
            let Some(request) = given.requests.0.get(name) else { continue };
            if name == CPU || name == MEMORY || !is_given(limit) || !is_given(request) {
                continue;
            }
            if self.parse("requests", name, request)? > self.parse("limits", name, limit)? {
                return Err(self.above(name, request, limit));
            }
        }
        Ok(())
    }

    fn above(&self, name: &str, request: impl std::fmt::Display, limit: impl std::fmt::Display) -> Failure {
        invalid(
            format!("{}.requests.{name}", self.path),
            format!("the request of {request} {name} is above the limit of {limit}"),
            "lower the request or raise the limit",
        )
    }

    fn raise(&self, share: &mut Share, floor: &str, warnings: &mut Warnings) -> Result<()> {
        let (Some(limit), Some(floor)) = (&share.limit, configured(floor)?) else { return Ok(()) };
        if *limit < floor {
            warnings.warn(
                format!("{}.limits.{}", self.path, share.name),
                format!("the limit of {limit} {} is raised to the configured minimum of {floor}", share.name),
                format!("set a limit of at least {}", floor),
            );
            share.limit = Some(floor);
        }
        Ok(())
    }

    /// The API server refuses a request above its limit. If both are the manifest's, its author has to decide. If one
    /// of them is a default, the limit is raised, with a warning if it is the manifest's.
    fn reconcile(&self, share: &mut Share, warnings: &mut Warnings) -> Result<()> {
        let (Some(request), Some(limit)) = (&share.request, &share.limit) else { return Ok(()) };
        if request <= limit {
            return Ok(());
        }
        if share.own_request && share.own_limit {
            return Err(self.above(share.name, request, limit));
        }
        if share.own_limit {
            warnings.warn(
                format!("{}.limits.{}", self.path, share.name),
                format!("the limit of {limit} {} is raised to the default request of {request}", share.name),
                "set the request as well, to at most the limit",
            );
        }
        share.limit.clone_from(&share.request);
        Ok(())
    }

    fn cap(&self, share: &mut Share, ceiling: &str, warnings: &mut Warnings) -> Result<()> {
        let (Some(request), Some(ceiling)) = (&share.request, configured(ceiling)?) else { return Ok(()) };
        if *request > ceiling {
            warnings.warn(
                format!("{}.requests.{}", self.path, share.name),
                format!("the request of {request} {} is lowered to the configured maximum of {ceiling}", share.name),
                format!("request at most {}", ceiling),
            );
            share.request = Some(ceiling);
        }
        Ok(())
    }
}

/// Warns of amounts of bytes that count in parts of one, as the 512 thousandths of `512m`. They are used as they are.
fn warn_of_parts(path: &str, given: &Resources, warnings: &mut Warnings) {
    for (side, list) in [("requests", &given.requests), ("limits", &given.limits)] {
        let in_bytes = |name: &str| name == MEMORY || name == "ephemeral-storage" || name.starts_with("hugepages-");
        for (name, text) in list.0.iter().filter(|(name, text)| in_bytes(name) && Quantity::is_in_parts(text)) {
            let message = format!("\"{text}\" counts in parts of a byte");
            warnings.warn(format!("{path}.{side}.{name}"), message, "write mebibytes as in 512Mi");
        }
    }
}

fn configured(text: &str) -> Result<Option<Quantity>> {
    Quantity::given(text)
        .transpose()
        .map_err(|_| invalid_config(format!("\"{text}\" is not a quantity; write it as in 250m or 500Mi")))
}

fn is_given(text: &str) -> bool {
    Quantity::given(text).is_some()
}

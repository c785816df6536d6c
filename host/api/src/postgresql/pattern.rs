//! Regular expressions for the strings of a manifest, as in `pattern` of a schema.

/// A Kubernetes quantity that is not negative.
pub const QUANTITY: &str = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$";
/// A PostgreSQL version: the two numbers of an old one, the first of a new one.
pub const VERSION: &str = r"^(9\.[3-6]|[1-9][0-9])$";
/// A DNS label that starts with a letter.
pub const DNS1035: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";
/// A point in time with its zone, or nothing.
pub const TIMESTAMP: &str = r"^([0-9]+-(0[1-9]|1[012])-(0[1-9]|[12][0-9]|3[01])[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?))?$";
/// Addresses with a prefix length, IPv4 or IPv6.
pub const CIDR: &str = r"^(((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$";
/// A span of time in a week, UTC.
pub const WINDOW: &str = r"^ *((Mon|Tue|Wed|Thu|Fri|Sat|Sun):)?(2[0-3]|[01]?[0-9]):[0-5]?[0-9]-((Mon|Tue|Wed|Thu|Fri|Sat|Sun):)?(2[0-3]|[01]?[0-9]):[0-5]?[0-9] *$";

//! The pool arithmetic: how the connections to one database are shared among instances and pools.

/// Connections of one instance.
#[derive(Debug, PartialEq)]
pub struct Size {
    /// To one database.
    pub most: i64,
    /// Of one pool, that is of one user in one database.
    pub usual: i64,
    /// Kept open in a pool.
    pub least: i64,
    /// Beyond the usual size of a pool.
    pub reserve: i64,
}

impl Size {
    /// Shares `connections` to one database among `instances`, of which there is at least one.
    pub fn of(connections: i64, instances: i64) -> Self {
        let most = connections / instances.max(1);
        let usual = most / 2;
        let least = usual / 2;
        Self { most, usual, least, reserve: least }
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn a_quarter_of_an_instances_connections_is_kept_open_and_a_quarter_in_reserve() {
        for (connections, instances, (most, usual, least)) in [
            (60, 2, (30, 15, 7)),
            (60, 3, (20, 10, 5)),
            (100, 3, (33, 16, 8)),
            (1, 1, (1, 0, 0)),
            (60, 0, (60, 30, 15)),
        ] {
            let expected = Size { most, usual, least, reserve: least };
            assert_eq!(Size::of(connections, instances), expected, "{connections} among {instances}");
        }
    }
}

//! The sizes of PgBouncer's pools: how the connections to one database are shared among instances and pools.

/// The limits of one instance, named after the keys of
/// [PgBouncer's configuration](https://www.pgbouncer.org/config.html).
#[derive(Debug, PartialEq)]
pub struct Size {
    /// The most server connections to one database.
    pub max_db_connections: i64,
    /// The server connections of one pool; each pair of user and database has its own.
    pub default_pool_size: i64,
    /// The server connections that a pool keeps open.
    pub min_pool_size: i64,
    /// The additional server connections of a pool whose clients have to wait.
    pub reserve_pool_size: i64,
}

impl Size {
    /// Shares `connections` to one database among `instances`: a pool may use half of an instance's connections, and
    /// keeps half of those open.
    pub fn of(connections: i64, instances: i64) -> Self {
        let max_db_connections = connections / instances.max(1);
        let default_pool_size = max_db_connections / 2;
        let min_pool_size = default_pool_size / 2;
        Self { max_db_connections, default_pool_size, min_pool_size, reserve_pool_size: min_pool_size }
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn a_quarter_of_an_instances_connections_is_kept_open_and_a_quarter_in_reserve() {
        for (connections, instances, (max_db_connections, default_pool_size, min_pool_size)) in [
            (60, 2, (30, 15, 7)),
            (60, 3, (20, 10, 5)),
            (100, 3, (33, 16, 8)),
            (1, 1, (1, 0, 0)),
            (60, 0, (60, 30, 15)),
        ] {
            let expected =
                Size { max_db_connections, default_pool_size, min_pool_size, reserve_pool_size: min_pool_size };
            assert_eq!(Size::of(connections, instances), expected, "{connections} among {instances}");
        }
    }
}

//! A session of the operator with a member's database: what it reads, and the writes that pass the gate.

use std::future::pending;

use super::{Cell, Place, Query, SqlError, error};
use crate::State;
use crate::patroni::Patroni;
use crate::server::{Answer, Listener};

/// A session before and after its log-in.
pub(crate) struct Session {
    pub listener: Listener,
    /// The namespace and the name of the cluster.
    pub cluster: (String, String),
    /// The pod of the member.
    pub pod: String,
    /// The database; empty before the log-in.
    pub database: String,
    /// The statements of the open transaction; `None` outside one.
    pub transaction: Option<Vec<String>>,
}

impl Session {
    /// The verifier of a role.
    pub fn verifier(&self, role: &str) -> Option<String> {
        self.read(|patroni| patroni.database.verifier(role).map(str::to_owned)).flatten()
    }

    /// The rows of a query. It is not answered if the operator is killed.
    pub async fn query(&self, query: &Query) -> Vec<Vec<Cell>> {
        self.while_alive().await;
        let rows = |patroni: &mut Patroni| {
            let is_replica = patroni.is_standby() || patroni.leader.as_ref() != Some(&self.pod);
            patroni.database.rows(query, &Place { database: self.database.clone(), is_replica })
        };
        self.read(rows).unwrap_or_default()
    }

    /// Executes a simple statement. It is a write if it has an effect: as the end of a transaction, or without one.
    pub async fn execute(&mut self, sql: &str) -> Result<(), SqlError> {
        self.while_alive().await;
        match (sql.split_whitespace().next().unwrap_or_default(), &mut self.transaction) {
            ("BEGIN" | "START", _) => self.transaction = Some(Vec::new()),
            ("ROLLBACK", _) => self.transaction = None,
            ("SET", _) => {}
            ("COMMIT", _) => {
                let statements = self.transaction.take().unwrap_or_default();
                return self.write(statements).await;
            }
            (_, Some(statements)) => statements.push(sql.to_owned()),
            (_, None) => return self.write(vec![sql.to_owned()]).await,
        }
        Ok(())
    }

    async fn write(&self, statements: Vec<String>) -> Result<(), SqlError> {
        // The first words tell what it is about; a verifier comes later.
        let first: Vec<&str> = statements.first().map_or("", String::as_str).split_whitespace().take(3).collect();
        let what = format!("SQL {}: {}", self.database, first.join(" "));
        let act = |state: &mut State| match state.patroni.get_mut(&self.cluster) {
            Some(patroni) => patroni.database.execute(&self.database, &statements),
            None => Err(error("57P01", "the server is gone")),
        };
        match self.listener.judge(what, act) {
            (Answer::Never, _) => pending().await,
            (Answer::Given, Some(result)) => result,
            (Answer::Refused(..), _) | (Answer::Given, None) => Err(error("XX000", "a fault of the test")),
        }
    }

    async fn while_alive(&self) {
        if self.listener.is_dead() {
            pending().await
        }
    }

    fn read<T>(&self, act: impl FnOnce(&mut Patroni) -> T) -> Option<T> {
        self.listener.server().with(|state| state.patroni.get_mut(&self.cluster).map(act))
    }
}

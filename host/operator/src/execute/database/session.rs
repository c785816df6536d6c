//! A connection to one database, opened over TLS and set up so that nothing the database holds can get in the way.

use std::sync::Arc;
use std::time::Duration;

use pgloom_decide::credential::Password;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};

use super::{BoxStream, Connect, Error, Statement, Tls};

/// How long a connection may take, log-in included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Settings of the session.
/// - `search_path`: what users put into their schemas must never stand in for a function or an operator of ours.
/// - `synchronous_commit`: a replica that is away must not hold up a role.
/// - `lock_timeout`: neither must somebody's open transaction.
const OPTIONS: &str = "-c search_path=pg_catalog,pg_temp -c synchronous_commit=local -c lock_timeout=10s";

/// Settings of a transaction whose statement holds a verifier: the server keeps the text nowhere.
const CONFIDENTIAL: &str = "SET LOCAL log_statement = 'none'; \
     SET LOCAL log_min_duration_statement = -1; \
     SET LOCAL log_min_error_statement = 'panic'; \
     SET LOCAL pg_stat_statements.track_utility = off";

/// A database server: the way to it, and how TLS is spoken there.
#[derive(Clone)]
pub struct Server {
    host: String,
    way: Arc<dyn Connect>,
    tls: Tls,
}

impl Server {
    /// A server that is called `host` in messages and in TLS.
    pub fn new(host: impl Into<String>, way: Arc<dyn Connect>, tls: Tls) -> Self {
        Self { host: host.into(), way, tls }
    }

    /// The same with another way to speak TLS.
    #[must_use]
    #[cfg_attr(not(test), allow(dead_code, reason = "so far only tests tell them apart"))]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// What the server is called.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// An open connection to one database. Closes when dropped.
pub(super) struct Session {
    client: Client,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    pub(super) async fn open(
        server: &Server,
        database: &str,
        username: &str,
        password: &Password,
    ) -> Result<Self, Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Connect {
            database: database.into(),
            host: server.host.clone(),
            source,
        };
        let mut config = Config::new();
        config
            .user(username)
            .password(password.reveal())
            .dbname(database)
            .application_name("pgloom")
            .options(OPTIONS)
            .ssl_mode(SslMode::Require);
        let connect = async {
            let stream = server.way.connect().await.map_err(|error| failed(error.into()))?;
            let mut tls = server.tls.0.clone();
            let Ok(tls) = MakeTlsConnect::<BoxStream>::make_tls_connect(&mut tls, &server.host);
            let connected = config.connect_raw(stream, tls).await;
            connected.map_err(|error| match error.code() {
                Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                    Error::Refused { username: username.into(), host: server.host.clone(), message: message(&error) }
                }
                _ => failed(error.into()),
            })
        };
        let (client, connection) = match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected?,
            Err(elapsed) => return Err(failed(elapsed.into())),
        };
        // What goes wrong on the connection comes back from the call that is waiting for it.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { client, task })
    }

    pub(super) async fn query(
        &self,
        what: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let rows = self.client.query(sql, values).await;
        rows.map_err(|source| Error::Read { what, source })
    }

    pub(super) async fn is_replica(&self) -> Result<bool, Error> {
        let what = "ask whether the server is a replica";
        let rows = self.query(what, "SELECT pg_is_in_recovery()", &[]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// The server's version, as in `150018`.
    pub(super) async fn version(&self) -> Result<i32, Error> {
        let sql = "SELECT current_setting('server_version_num')::int4";
        let rows = self.query("ask the server's version", sql, &[]).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }

    /// Makes one change, all of it or nothing; gives the reason if it could not be made.
    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<(), String> {
        let result = if statement.is_alone() {
            self.client.batch_execute(statement.sql()).await
        } else {
            self.transact(statement).await
        };
        result.map_err(|error| match error.code() {
            // The message of a syntax error quotes the statement.
            Some(&SqlState::SYNTAX_ERROR) if statement.is_confidential() => "syntax error".into(),
            _ => message(&error),
        })
    }

    async fn transact(&mut self, statement: &Statement) -> Result<(), tokio_postgres::Error> {
        let transaction = self.client.transaction().await?;
        if statement.is_confidential() {
            transaction.batch_execute(CONFIDENTIAL).await?;
        }
        transaction.batch_execute(statement.sql()).await?;
        transaction.commit().await
    }
}

/// What the server said, with its code; never the statement.
fn message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    }
}

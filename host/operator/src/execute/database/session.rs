//! A connection to one database, over TLS and with session settings that no setting or object in the database can
//! override.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::TryStreamExt as _;
use pgloom_common::error::cut;
use pgloom_decide::credential::Password;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Config, Row};

use super::guard::{Guarded, Refusal, Screen};
use super::{BoxStream, Connect, Error, Statement, Tls};

/// How long a connection may take, log-in included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The most rows that are read of one answer.
const MAX_ROWS: usize = 20_000;

/// The maximum length of the message of one failure, in bytes.
pub(super) const MAX_TEXT: usize = 300;

/// Settings of the session. They override those of `ALTER DATABASE … SET` and `ALTER ROLE … SET`.
///
/// See [where settings come from](https://www.postgresql.org/docs/current/config-setting.html).
/// - `search_path`: a function or an operator in a user's schema must never be used instead of a built-in one.
/// - `role`, `default_transaction_read_only`: the session has the rights of the role that logs in.
/// - `statement_timeout`: long enough for the operator's statements, but limited.
/// - `synchronous_commit`: a missing replica must not delay a statement.
/// - `lock_timeout`: the same for another session's open transaction.
const OPTIONS: &str = "-c search_path=pg_catalog,pg_temp -c role=none -c default_transaction_read_only=off \
     -c statement_timeout=60s -c synchronous_commit=local -c lock_timeout=10s";

/// Disables timeouts that may be set for the database or the role. Not every release of PostgreSQL has each of them.
const NO_TIMEOUTS: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN \
     ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')";

/// Settings of a transaction with a verifier in its statement: the server does not log or keep the text.
const CONFIDENTIAL: &str = "SET LOCAL log_statement = 'none'; \
     SET LOCAL log_min_duration_statement = -1; \
     SET LOCAL log_min_error_statement = 'panic'; \
     SET LOCAL pg_stat_statements.track_utility = off";

/// A database server: its connector and its TLS settings.
#[derive(Clone)]
pub struct Server {
    host: String,
    way: Arc<dyn Connect>,
    tls: Tls,
}

impl Server {
    /// A server with the name `host` in messages and in TLS.
    pub fn new(host: impl Into<String>, way: Arc<dyn Connect>, tls: Tls) -> Self {
        Self { host: host.into(), way, tls }
    }

    /// The same server with other TLS settings.
    #[must_use]
    #[cfg(test)]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls, ..self }
    }

    /// The name of the server.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// An open connection to one database. Closes when dropped.
pub(super) struct Session {
    client: Client,
    task: JoinHandle<()>,
    host: String,
    /// The reason why the operator closed the connection, if it did.
    refusal: Arc<OnceLock<Refusal>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Logs in. The password is only used in a log-in with channel binding to the server's certificate, which gives no
    /// information to a server that does not have the role's verifier.
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
        let verified = server.tls.verified;
        let mut config = Config::new();
        config
            .user(username)
            .password(password.reveal())
            .dbname(database)
            .application_name("pgloom")
            .options(OPTIONS)
            .ssl_mode(SslMode::Require)
            // The screen also accepts md5 if an authority has verified the server.
            .channel_binding(if verified { ChannelBinding::Prefer } else { ChannelBinding::Require });
        let screen = Screen::new(verified);
        let refusal = screen.refusal();
        let connect = async {
            let stream = server.way.connect().await.map_err(|error| failed(error.into()))?;
            let mut tls = server.tls.connector.clone();
            let Ok(tls) = MakeTlsConnect::<BoxStream>::make_tls_connect(&mut tls, &server.host);
            let connected = config.connect_raw(stream, Guarded { tls, screen }).await;
            connected.map_err(|error| match (refusal.get(), error.code()) {
                (Some(refusal), _) => Error::Unsafe { host: server.host.clone(), refusal: *refusal },
                (None, Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION)) => {
                    Error::Refused { username: username.into(), host: server.host.clone(), message: message(&error) }
                }
                _ => failed(error.into()),
            })
        };
        let (client, connection) = match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected?,
            Err(elapsed) => return Err(failed(elapsed.into())),
        };
        // An error of the connection is returned by the query that waits for an answer.
        let task = tokio::spawn(async move { drop(connection.await) });
        let session = Self { client, task, host: server.host.clone(), refusal };
        session.query("set the session's time limits", NO_TIMEOUTS, &[]).await?;
        Ok(session)
    }

    /// The rows of an answer.
    pub(super) async fn query(
        &self,
        what: &'static str,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let failed = |source| match self.refusal.get() {
            Some(refusal) => Error::Unsafe { host: self.host.clone(), refusal: *refusal },
            None => Error::Read { what, source },
        };
        let stream = self.client.query_raw(sql, values.iter().copied()).await.map_err(failed)?;
        let mut stream = pin!(stream);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await.map_err(failed)? {
            if rows.len() == MAX_ROWS {
                return Err(Error::TooMany { what, limit: MAX_ROWS });
            }
            rows.push(row);
        }
        Ok(rows)
    }

    pub(super) async fn is_replica(&self) -> Result<bool, Error> {
        let what = "ask whether the server is a replica";
        let rows = self.query(what, "SELECT pg_is_in_recovery()", &[]).await?;
        rows.first().map_or(Ok(false), |row| column(row, 0, what))
    }

    /// The server's version, as in `150018`.
    pub(super) async fn version(&self) -> Result<i32, Error> {
        let sql = "SELECT current_setting('server_version_num')::int4";
        let what = "ask the server's version";
        let rows = self.query(what, sql, &[]).await?;
        rows.first().map_or(Ok(0), |row| column(row, 0, what))
    }

    /// Executes one statement in a transaction; the error is the reason for the user.
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

/// A column of a row. A server may send other columns than those of the query, or invalid UTF-8.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize, what: &'static str) -> Result<T, Error> {
    row.try_get(index).map_err(|source| Error::Read { what, source })
}

/// The server's message with its SQLSTATE, without the statement. It is shortened: a server may send a megabyte.
fn message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", cut(error.message(), MAX_TEXT), error.code().code()),
        None => cut(&error.to_string(), MAX_TEXT),
    }
}

//! The section `spec.standby`: the source cluster's leader, its archive, or both.

use pgloom_kit::bootstrap::variables::of_role;
use pgloom_kit::container::env;
use pgloom_kit::json::field::text;
use pgloom_kit::{Result, Value, Warnings, fields, invalid};

/// The variables that name a source: the pods of every standby have one of them. Other variables of a standby make none:
/// the platform may set the keys of archives, as in `STANDBY_AWS_ACCESS_KEY_ID`, for all clusters.
pub const VARIABLES: [&str; 3] = ["STANDBY_HOST", "STANDBY_WALE_S3_PREFIX", "STANDBY_WALE_GS_PREFIX"];

fields! {
    /// `spec.standby`. An empty string means a missing field.
    pub struct Source {
        s3_wal_path: Option<String> = "s3_wal_path",
        gs_wal_path: Option<String> = "gs_wal_path",
        host: Option<String> = "standby_host",
        port: Option<String> = "standby_port",
        slot: Option<String> = "standby_primary_slot_name",
    }
}

impl Source {
    /// The variables of the database's container: for streaming from the source's leader, for its archive, or for both.
    /// `role` is the role of AWS that the service account has.
    ///
    /// # Errors
    /// If the section names no source, or two archives, or an invalid port.
    pub fn variables(&self, role: &str, warnings: &mut Warnings) -> Result<Vec<Value>> {
        self.check(warnings)?;
        let mut variables = Vec::new();
        if !text(&self.host).is_empty() {
            for (name, value) in
                [("STANDBY_HOST", &self.host), ("STANDBY_PORT", &self.port), ("STANDBY_PRIMARY_SLOT_NAME", &self.slot)]
            {
                if !text(value).is_empty() {
                    variables.push(env(name, text(value)));
                }
            }
        }
        for (name, path) in
            [("STANDBY_WALE_S3_PREFIX", &self.s3_wal_path), ("STANDBY_WALE_GS_PREFIX", &self.gs_wal_path)]
        {
            if !text(path).is_empty() {
                variables.push(env(name, text(path)));
                variables.push(env("STANDBY_METHOD", "STANDBY_WITH_WALE"));
                variables.push(env("STANDBY_WAL_BUCKET_SCOPE_PREFIX", ""));
                variables.extend(of_role("STANDBY", role));
            }
        }
        Ok(variables)
    }

    /// The source for a message: its host, or the path of its archive.
    pub fn name(&self) -> &str {
        [&self.host, &self.s3_wal_path, &self.gs_wal_path]
            .into_iter()
            .map(text)
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    fn check(&self, warnings: &mut Warnings) -> Result<()> {
        let [s3, gs, host] = [&self.s3_wal_path, &self.gs_wal_path, &self.host].map(text);
        if s3.is_empty() && gs.is_empty() && host.is_empty() {
            return Err(invalid(
                "spec.standby",
                "s3_wal_path is empty for standby cluster",
                "set s3_wal_path, gs_wal_path or standby_host of the source",
            ));
        }
        if !s3.is_empty() && !gs.is_empty() {
            return Err(invalid(
                "spec.standby.gs_wal_path",
                "a standby has one archive, and s3_wal_path is given too",
                "remove s3_wal_path or gs_wal_path",
            ));
        }
        let port = text(&self.port);
        if !port.is_empty() && !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(invalid(
                "spec.standby.standby_port",
                format!("\"{port}\" is not a port"),
                "write a number from 1 to 65535 in quotes, as in \"5432\"",
            ));
        }
        for (field, value) in [("standby_port", port), ("standby_primary_slot_name", text(&self.slot))] {
            if host.is_empty() && !value.is_empty() {
                warnings.warn(
                    format!("spec.standby.{field}"),
                    format!("{field} has no effect without standby_host"),
                    "set standby_host, or remove the field",
                );
            }
        }
        Ok(())
    }
}

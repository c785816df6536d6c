//! The section of the manifest: whom a cluster follows, and by which ways.

use pgloom_kit::container::env;
use pgloom_kit::{Notes, Result, Value, fields, invalid};

fields! {
    /// `spec.standby`. Empty texts count as left out.
    pub struct Source {
        s3_wal_path: Option<String> = "s3_wal_path",
        gs_wal_path: Option<String> = "gs_wal_path",
        host: Option<String> = "standby_host",
        port: Option<String> = "standby_port",
        slot: Option<String> = "standby_primary_slot_name",
    }
}

fn given(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

impl Source {
    /// The variables: streaming from the source's leader, reading its archive, or both.
    ///
    /// # Errors
    /// If the section names no source, or two archives.
    pub fn variables(&self, notes: &mut Notes) -> Result<Vec<Value>> {
        self.check(notes)?;
        let mut variables = Vec::new();
        if !given(&self.host).is_empty() {
            for (name, value) in
                [("STANDBY_HOST", &self.host), ("STANDBY_PORT", &self.port), ("STANDBY_PRIMARY_SLOT_NAME", &self.slot)]
            {
                if !given(value).is_empty() {
                    variables.push(env(name, given(value)));
                }
            }
        }
        for (name, path) in
            [("STANDBY_WALE_S3_PREFIX", &self.s3_wal_path), ("STANDBY_WALE_GS_PREFIX", &self.gs_wal_path)]
        {
            if !given(path).is_empty() {
                variables.push(env(name, given(path)));
                variables.push(env("STANDBY_METHOD", "STANDBY_WITH_WALE"));
                variables.push(env("STANDBY_WAL_BUCKET_SCOPE_PREFIX", ""));
            }
        }
        Ok(variables)
    }

    /// Whom the cluster follows, for people.
    pub fn name(&self) -> &str {
        [&self.host, &self.s3_wal_path, &self.gs_wal_path]
            .into_iter()
            .map(given)
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    fn check(&self, notes: &mut Notes) -> Result<()> {
        let [s3, gs, host] = [&self.s3_wal_path, &self.gs_wal_path, &self.host].map(given);
        if s3.is_empty() && gs.is_empty() && host.is_empty() {
            return Err(invalid(
                "spec.standby",
                "s3_wal_path is empty for standby cluster",
                "set s3_wal_path, gs_wal_path or standby_host",
            ));
        }
        if !s3.is_empty() && !gs.is_empty() {
            return Err(invalid(
                "spec.standby.gs_wal_path",
                "a cluster reads one archive, and there is s3_wal_path too",
                "remove one of the two",
            ));
        }
        let port = given(&self.port);
        if !port.is_empty() && !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(invalid(
                "spec.standby.standby_port",
                ["\"", port, "\" is no port"].concat(),
                "write a number from 1 to 65535 in quotes, as in \"5432\"",
            ));
        }
        for (field, value) in [("standby_port", port), ("standby_primary_slot_name", given(&self.slot))] {
            if host.is_empty() && !value.is_empty() {
                notes.warn(
                    ["spec.standby.", field].concat(),
                    [field, " does nothing without standby_host"].concat(),
                    "set standby_host, or remove the field",
                );
            }
        }
        Ok(())
    }
}

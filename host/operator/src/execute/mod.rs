//! What is done besides objects: the database's roles and contents, Patroni, volumes, passwords.

pub mod database;
pub mod password;
pub mod patroni;
pub mod task;
pub mod volume;

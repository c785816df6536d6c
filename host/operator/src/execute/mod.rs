//! The actions of the operator other than writes of objects: roles and databases, Patroni, volumes, passwords.

pub mod command;
pub mod database;
pub mod ec2;
pub mod password;
pub mod patroni;
pub mod task;
pub mod volume;

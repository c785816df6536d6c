//! The actions of the operator other than writes of objects: roles and databases, Patroni, volumes, passwords and their
//! rotation, and upgrades to another major version.

pub mod command;
pub mod database;
pub mod ec2;
pub mod major_upgrade;
pub mod password;
pub mod patroni;
pub mod rotation;
pub mod task;
pub mod volume;

//! Tests that disturb others, because they change or stop the operator, a node or the control plane: one runs at a time.

mod configuration;
mod control_plane;
mod drain;
mod operators;
mod run;
mod taint;

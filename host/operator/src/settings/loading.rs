//! Loading a pipeline beside everything else: compiling takes long, and nothing waits for it.
//!
//! One pipeline is loaded at a time. What is wanted meanwhile is loaded next, the newest alone.

use std::sync::Arc;

use futures::future::BoxFuture;
use pgloom_engine::Pipeline;

use super::source::Found;
use super::{Error, Loader};

/// What is to be loaded.
#[derive(Debug)]
pub enum Wanted {
    /// This document.
    Document(Found),
    /// What the source has when the loading begins.
    Source,
}

/// What came of it.
pub struct Loaded {
    /// The document, if it was found.
    pub found: Option<Found>,
    /// The pipeline.
    pub result: Result<Pipeline, Error>,
}

/// The pipeline that is being loaded, and what is loaded next.
#[derive(Default)]
pub struct Loading<'a> {
    running: Option<BoxFuture<'a, Loaded>>,
    next: Option<Wanted>,
}

impl<'a> Loading<'a> {
    /// Loads a pipeline, at once or after the one that is being loaded. `running` is the one in use.
    pub fn want(&mut self, loader: &'a Loader, wanted: Wanted, running: &Arc<Pipeline>) {
        match self.running {
            Some(_) => self.next = Some(wanted),
            None => self.running = Some(Box::pin(loader.load_wanted(wanted, running.clone()))),
        }
    }

    /// Whether nothing is being loaded.
    pub fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Whether a newer document is to be loaded than the one that is being loaded.
    pub fn is_superseded(&self) -> bool {
        matches!(self.next, Some(Wanted::Document(_)))
    }

    /// Returns when a pipeline was loaded or could not be; never while none is being loaded. May be dropped and called
    /// again.
    pub async fn loaded(&mut self) -> Loaded {
        match &mut self.running {
            Some(running) => {
                let loaded = running.await;
                self.running = None;
                loaded
            }
            None => std::future::pending().await,
        }
    }

    /// Begins with what is loaded next, if there is something.
    pub fn go_on(&mut self, loader: &'a Loader, running: &Arc<Pipeline>) {
        if let Some(wanted) = self.next.take() {
            self.want(loader, wanted, running);
        }
    }
}

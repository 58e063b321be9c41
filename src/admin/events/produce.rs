//! Looks once a second, for as long as somebody watches.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{MissedTickBehavior, interval};

use super::Viewer;
use super::frame::Figures;
use super::picture::Picture;
use crate::admin::AdminState;
use crate::proxy::NoWorkers;

/// From one look to the next, at least.
const PERIOD: Duration = Duration::from_secs(1);

/// Serves viewers until the workers have ended. There is to be one of this per admin server.
pub(in crate::admin) async fn produce(mut coming: mpsc::Receiver<Viewer>, state: AdminState) {
    while let Some(first) = coming.recv().await {
        if watch(first, &mut coming, &state).await.is_err() {
            return;
        }
    }
}

/// From the first viewer's coming to the last one's going; between, nothing is kept and nobody is asked.
async fn watch(first: Viewer, coming: &mut mpsc::Receiver<Viewer>, state: &AdminState) -> Result<(), NoWorkers> {
    let mut picture = Picture::default();
    let mut viewers = Vec::new();
    let mut fresh = vec![first];
    let mut ticks = interval(PERIOD);
    // After a late look the next is a whole period away: the proxy has something better to do.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        fresh.extend(std::iter::from_fn(|| coming.try_recv().ok()));
        fresh.retain(|viewer| !viewer.frames.is_closed());
        viewers.retain(|viewer: &Viewer| !viewer.frames.is_closed());
        if viewers.is_empty() && fresh.is_empty() {
            return Ok(());
        }
        let changes = picture.look(state.workers.census().await?);
        let figures = Figures::gather(state, &picture).await;
        if !viewers.is_empty() {
            send(&mut viewers, &figures.frame(&picture, &changes));
        }
        if !fresh.is_empty() {
            send(&mut fresh, &figures.frame(&picture, &picture.whole()));
            viewers.append(&mut fresh);
        }
    }
}

/// Gives the frame to each; who has no room for it is let go.
fn send(viewers: &mut Vec<Viewer>, frame: &Bytes) {
    viewers.retain(|viewer| match viewer.frames.try_send(frame.clone()) {
        Ok(()) => true,
        Err(TrySendError::Closed(_)) => false,
        Err(TrySendError::Full(_)) => {
            tracing::debug!("a viewer of the live page does not keep up and is dropped");
            false
        }
    });
}

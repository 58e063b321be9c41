//! Looks once a second, for as long as somebody watches.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{MissedTickBehavior, interval};

use super::Viewer;
use super::frame::Figures;
use super::picture::Picture;
use super::servers::Servers;
use crate::admin::{AdminState, upstreams};
use crate::control::NoWorkers;

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
    let mut servers = Servers::default();
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
        let changes = picture.look(state.workers.census(true).await?);
        let figures = Figures::gather(state, &picture).await;
        let served = servers.look(upstreams::reports(state), figures.unix_seconds);
        if !viewers.is_empty() {
            send(&mut viewers, &figures.frame(&picture, &changes, &served));
        }
        if !fresh.is_empty() {
            send(&mut fresh, &figures.frame(&picture, &picture.whole(), &servers.whole()));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_viewer_that_does_not_keep_up_loses_its_seat_and_others_keep_theirs() {
        let seats = Arc::new(Semaphore::new(2));
        let seat = || Arc::clone(&seats).try_acquire_owned().unwrap();
        let (slow, mut unread) = mpsc::channel(1);
        let (quick, mut read) = mpsc::channel(1);
        let mut viewers = [slow, quick].map(|frames| Viewer { frames, _seat: seat() }).into();
        for frame in ["one", "two"] {
            send(&mut viewers, &Bytes::from_static(frame.as_bytes()));
            assert_eq!(read.try_recv().unwrap(), frame);
        }
        assert_eq!((viewers.len(), seats.available_permits()), (1, 1));
        // It gets what was for it, then the end.
        assert_eq!(unread.try_recv().unwrap(), "one");
        assert_eq!(unread.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }
}

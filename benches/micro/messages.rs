//! Following the frames of what passes, and counting it.

use headpin::observe::labels::Direction;
use headpin::observe::metrics::Metrics;
use headpin::tunnel::FrameFollower;
use prometheus::Registry;

use super::paths::Meter;

const FRAMES: u64 = 64;
/// A masked binary frame of 16 bytes (RFC 6455 section 5.2).
const FRAME: [u8; 22] = {
    let mut frame = [0x55; 22];
    frame[0] = 0x82;
    frame[1] = 0x80 | 16;
    frame
};

pub(crate) fn paths(meter: &mut impl Meter) {
    meter.path("follow_64_frames", || {
        let mut follower = FrameFollower::default();
        let bytes = FRAME.repeat(FRAMES as usize);
        let run = move |(): &mut ()| assert_eq!(follower.follow(&bytes).frames, FRAMES);
        (|| (), run)
    });
    meter.path("follow_1_of_16KiB", || {
        let mut follower = FrameFollower::default();
        let mut bytes = vec![0x82, 126, 0x40, 0];
        bytes.resize(4 + 16 * 1024, 0x55);
        let run = move |(): &mut ()| assert_eq!(follower.follow(&bytes).messages, 1);
        (|| (), run)
    });
    // What one message adds in one direction.
    meter.path("count_message", || {
        let metrics = Metrics::register(&Registry::new()).expect("an empty registry");
        let counters = metrics.worker();
        let run = move |bytes: &mut u64| {
            counters.relayed(Direction::ToUpstream, *bytes);
            counters.framed(Direction::ToUpstream, 1, 1);
        };
        (|| 128, run)
    });
}

//! Limits for a run, from what runs like it used before. Pure: figures in, limits out.
//!
//! ```text
//! needed   = the larger of: the most so far; mean + 3 deviations × √(1 + 1/n)
//! proposed = needed × (1.1 + 0.8 / √n), rounded up to a step
//! ```
//!
//! The first line grows with the spread of the figures, the second one shrinks as there are more of them: by 66 % at two
//! runs, 35 % at ten, 24 % at [`WINDOW`].

/// How many of the latest runs are looked at. A program whose needs shrink is given less after so many.
pub const WINDOW: usize = 32;

/// The least that is proposed of processors, in thousandths of one: what only waits must still come to its end.
const LEAST_CPU: u32 = 250;

/// Steps of processors, in thousandths of one.
const CPU_STEP: u64 = 250;

/// Figures above this are taken for it (a pebibyte), so that the sums below cannot overflow.
const LARGEST: u64 = 1 << 50;

/// What is over [`needed`] at any number of runs, and at one run, in thousandths.
const MARGIN: (u128, u128) = (1_100, 800);

/// What a run used, or is to be given at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The most memory at once, in bytes.
    pub memory: u64,
    /// Processors, in thousandths of one: its processor time over its whole time.
    pub cpu_millis: u32,
}

impl Used {
    /// What counts of a run that had these limits. What stood at a limit wanted more, nobody knows how much: it
    /// counts twice.
    #[must_use]
    pub fn under(self, limits: Self, ran_out_of_memory: bool) -> Self {
        let slowed = u64::from(self.cpu_millis) * 10 >= u64::from(limits.cpu_millis) * 9;
        Self {
            memory: match ran_out_of_memory {
                true => self.memory.max(limits.memory).saturating_mul(2),
                false => self.memory,
            },
            cpu_millis: match slowed {
                true => self.cpu_millis.saturating_mul(2),
                false => self.cpu_millis,
            },
        }
    }
}

/// Between what a proposal lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Fewer runs than these say nothing.
    pub runs: usize,
    /// The least memory that is proposed, in bytes; [`Self::most`] wins.
    pub least_memory: u64,
    /// What is never exceeded.
    pub most: Used,
}

/// Limits for the next run, from what those before used; none while there are too few of them.
pub fn propose(before: &[Used], bounds: &Bounds) -> Option<Used> {
    let latest = before.get(before.len().saturating_sub(WINDOW)..)?;
    if latest.is_empty() || latest.len() < bounds.runs {
        return None;
    }
    let memory: Vec<_> = latest.iter().map(|used| used.memory).collect();
    let cpu: Vec<_> = latest
        .iter()
        .map(|used| u64::from(used.cpu_millis))
        .collect();
    let memory = memory_step(with_margin(&memory).max(bounds.least_memory));
    let cpu = with_margin(&cpu).div_ceil(CPU_STEP) * CPU_STEP;
    let cpu = u32::try_from(cpu).unwrap_or(u32::MAX).max(LEAST_CPU);
    Some(Used {
        memory: memory.min(bounds.most.memory),
        cpu_millis: cpu.min(bounds.most.cpu_millis),
    })
}

/// The next power of two, or the middle between two of them: few different limits, so that what is kept ready fits.
fn memory_step(bytes: u64) -> u64 {
    let whole = bytes.clamp(1, LARGEST).next_power_of_two();
    let middle = whole / 4 * 3;
    match bytes <= middle {
        true => middle,
        false => whole,
    }
}

fn with_margin(figures: &[u64]) -> u64 {
    let count = figures.len().max(1) as u128;
    let (always, few) = MARGIN;
    let margin = always + few * 1_000 / (count * 1_000_000).isqrt();
    u64::try_from(needed(figures) * margin / 1_000).unwrap_or(u64::MAX)
}

/// What the next one will hardly exceed: a prediction interval of three deviations, and nothing below the most so far.
fn needed(figures: &[u64]) -> u128 {
    let figures = figures.iter().map(|one| u128::from((*one).min(LARGEST)));
    let count = figures.len().max(1) as u128;
    let largest = figures.clone().max().unwrap_or(0);
    let mean = figures.clone().sum::<u128>() / count;
    let squares: u128 = figures.map(|one| one.abs_diff(mean).pow(2)).sum();
    let variance = squares / count.saturating_sub(1).max(1);
    let spread = (9 * variance * (count + 1) / count).isqrt();
    largest.max(mean + spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn bounds(runs: usize) -> Bounds {
        Bounds {
            runs,
            least_memory: 32 * MIB,
            most: Used {
                memory: 1024 * MIB,
                cpu_millis: 2000,
            },
        }
    }

    fn used(mebibytes: u64) -> Used {
        Used {
            memory: mebibytes * MIB,
            cpu_millis: 400,
        }
    }

    fn memory(before: &[Used]) -> u64 {
        propose(before, &bounds(1)).unwrap().memory / MIB
    }

    #[test]
    fn few_runs_say_nothing() {
        assert_eq!(propose(&[], &bounds(1)), None);
        assert_eq!(propose(&[used(50); 4], &bounds(5)), None);
        let proposed = propose(&[used(50); 5], &bounds(5)).unwrap();
        assert_eq!((proposed.memory / MIB, proposed.cpu_millis), (96, 750));
    }

    #[test]
    fn more_runs_narrow_it_and_spread_widens_it() {
        assert_eq!(memory(&[used(50)]), 96);
        assert_eq!(memory(&[used(50); 32]), 64);
        let mut spread = vec![used(50); 31];
        spread.push(used(90));
        assert!(memory(&spread) > 96, "{}", memory(&spread));
    }

    #[test]
    fn what_stood_at_a_limit_counts_twice() {
        let limits = Used {
            memory: 64 * MIB,
            cpu_millis: 500,
        };
        let slow = Used {
            memory: 60 * MIB,
            cpu_millis: 490,
        };
        assert_eq!(slow.under(limits, false).memory, 60 * MIB);
        assert_eq!(slow.under(limits, false).cpu_millis, 980);
        assert_eq!(slow.under(limits, true).memory, 128 * MIB);
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut before = vec![used(900)];
        before.extend([used(50); WINDOW]);
        assert_eq!(memory(&before), 64);
    }

    fn any_used() -> impl Strategy<Value = Used> {
        (any::<u64>(), any::<u32>()).prop_map(|(memory, cpu_millis)| Used { memory, cpu_millis })
    }

    proptest! {
        #[test]
        fn ceilings_hold_and_no_figure_overflows(
            before in prop::collection::vec(any_used(), 1..80),
            most in any_used(),
            least_memory in any::<u64>(),
        ) {
            let proposed = propose(&before, &Bounds { runs: 1, least_memory, most }).unwrap();
            prop_assert!(proposed.memory <= most.memory && proposed.cpu_millis <= most.cpu_millis);
        }

        #[test]
        fn what_was_used_before_fits(before in prop::collection::vec(1_u64..4096, 1..WINDOW)) {
            let before: Vec<_> = before.into_iter().map(used).collect();
            let most = Used { memory: u64::MAX, cpu_millis: u32::MAX };
            let proposed = propose(&before, &Bounds { most, ..bounds(1) }).unwrap();
            for one in before {
                prop_assert!(proposed.memory > one.memory && proposed.cpu_millis > one.cpu_millis);
            }
        }

        #[test]
        fn the_same_again_never_asks_for_more(mebibytes in 1_u64..4096, runs in 1..WINDOW) {
            let most = Used { memory: u64::MAX, cpu_millis: u32::MAX };
            let of = |runs| propose(&vec![used(mebibytes); runs], &Bounds { most, ..bounds(1) }).unwrap().memory;
            prop_assert!(of(runs + 1) <= of(runs));
        }

        #[test]
        fn a_wider_spread_never_asks_for_less(middle in 200_u64..1000, narrow in 0_u64..100, more in 0_u64..100) {
            let most = Used { memory: u64::MAX, cpu_millis: u32::MAX };
            let of = |off| {
                let before: Vec<_> = (0..8).map(|at| used(if at % 2 == 0 { middle - off } else { middle + off })).collect();
                propose(&before, &Bounds { most, ..bounds(1) }).unwrap().memory
            };
            prop_assert!(of(narrow + more) >= of(narrow));
        }
    }
}

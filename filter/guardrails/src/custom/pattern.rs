//! Patterns that an app writes.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa;
use regex_automata::hybrid::regex::{Builder, Cache, Regex};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use crate::custom::{LONGEST_CUSTOM_MATCH, Refused};
use crate::normalize::normalized;

/// Bytes of a pattern's automaton before it is determinized.
const LARGEST_NFA: usize = 128 << 10;
/// Bytes of the states that are kept, for each direction.
const LARGEST_CACHE: usize = 64 << 10;
/// Bytes that are searched at once. A match that begins in the last [`LONGEST_CUSTOM_MATCH`] of them waits for
/// the next search.
const WINDOW: usize = 4 * LONGEST_CUSTOM_MATCH;
/// Bytes that are tried from one place before the search goes over a window.
const TRY: usize = 8;
/// Steps that it costs to throw the cache away: all of its states were made in vain.
const STEPS_OF_A_CLEAR: u64 = 10_000;

/// A regular expression that is read on normalized text. It is compiled when it is first needed.
#[derive(Clone)]
pub(crate) struct Pattern {
    text: Arc<str>,
    compiled: OnceLock<Option<Arc<Compiled>>>,
}

struct Compiled {
    regex: Regex,
    /// Bytes that a match may begin with.
    first: [bool; 256],
    cache: Mutex<Cache>,
}

/// Where a pattern goes on.
pub(crate) enum Step {
    /// A match from here to there.
    Match(usize, usize),
    /// No match begins before here.
    Skip(usize),
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl Pattern {
    pub(crate) fn compile(text: &str) -> Result<Self, Refused> {
        let plain = String::from_utf8(normalized(text)).unwrap_or_default();
        let compiled =
            build(&plain).map_err(|reason| Refused(format!("`{text}` cannot be used: {reason}")))?;
        if compiled.whole(b"", &mut 0) {
            return Err(Refused(format!("`{text}` matches nothing at all: ask for at least one character")));
        }
        Ok(Self { text: plain.into(), compiled: OnceLock::from(Some(Arc::new(compiled))) })
    }

    fn compiled(&self) -> Option<&Compiled> {
        self.compiled.get_or_init(|| build(&self.text).ok().map(Arc::new)).as_deref()
    }

    /// Whether all of `bytes` is a match. Counts its steps.
    pub(crate) fn matches_whole(&self, bytes: &[u8], steps: &mut u64) -> bool {
        let may_begin = bytes.first().is_some_and(|byte| self.may_begin(*byte));
        may_begin && self.whole(bytes, steps)
    }

    /// The same, however it begins: for probes.
    pub(crate) fn whole(&self, bytes: &[u8], steps: &mut u64) -> bool {
        self.compiled().is_some_and(|compiled| compiled.whole(bytes, steps))
    }

    /// Whether a match may begin with this byte.
    pub(crate) fn may_begin(&self, byte: u8) -> bool {
        self.compiled().is_some_and(|compiled| compiled.first.get(usize::from(byte)).copied().unwrap_or(true))
    }

    /// Looks for a match from `at` on. Counts its steps.
    pub(crate) fn step(&self, bytes: &[u8], at: usize, steps: &mut u64) -> Step {
        self.compiled().map_or(Step::Skip(bytes.len()), |compiled| compiled.step(bytes, at, steps))
    }

    /// Whether a match that begins at `at` may go on beyond the end.
    pub(crate) fn reaches_end(&self, bytes: &[u8], at: usize, steps: &mut u64) -> bool {
        self.compiled().is_some_and(|compiled| compiled.walk(bytes, at, usize::MAX, steps))
    }

    /// A long text on which the automaton stays alive, for a probe: bytes are preferred in this order.
    pub(crate) fn longest_walk(&self, preferred: &[u8], steps: &mut u64) -> Vec<u8> {
        self.compiled().map(|compiled| compiled.longest_walk(preferred, steps)).unwrap_or_default()
    }

    /// A text of this length on which the automaton goes here and there, for a probe.
    pub(crate) fn random_walk(&self, length: usize, steps: &mut u64) -> Vec<u8> {
        self.compiled().map(|compiled| compiled.random_walk(length, steps)).unwrap_or_default()
    }
}

fn build(text: &str) -> Result<Compiled, String> {
    let syntax = syntax::Config::new().unicode(false).utf8(false).nest_limit(50);
    let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(LARGEST_NFA));
    let dfa = dfa::Config::new().cache_capacity(LARGEST_CACHE).skip_cache_capacity_check(true);
    let built = Builder::new().syntax(syntax).thompson(nfa).dfa(dfa).build(text);
    let regex = built.map_err(|error| {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            message = inner.to_string();
            source = inner.source();
        }
        message
    })?;
    let mut cache = regex.create_cache();
    let first = first_bytes(&regex, &mut cache);
    Ok(Compiled { regex, first, cache: Mutex::new(cache) })
}

/// The bytes that do not rule out a match at once, whatever precedes it.
fn first_bytes(regex: &Regex, cache: &mut Cache) -> [bool; 256] {
    let mut first = [false; 256];
    let dfa = regex.forward();
    for before in [&b""[..], b"a", b" ", b"\n", b"-"] {
        let haystack = [before, b"x"].concat();
        let input = Input::new(&haystack).span(before.len()..haystack.len()).anchored(Anchored::Yes);
        for (byte, first) in (0..=u8::MAX).zip(&mut first) {
            let start = dfa.start_state_forward(cache.as_parts_mut().0, &input);
            let next = start.ok().and_then(|state| dfa.next_state(cache.as_parts_mut().0, state, byte).ok());
            *first |= next.is_none_or(|state| !state.is_dead());
        }
    }
    first
}

/// How often states were thrown away, in both directions.
fn clears(cache: &Cache) -> u64 {
    let (forward, reverse) = cache.as_parts();
    u64::try_from(forward.clear_count().saturating_add(reverse.clear_count())).unwrap_or(u64::MAX)
}

impl Compiled {
    /// Counts the steps of making states anew; other steps are for `work` to count.
    fn with_cache<T>(&self, steps: &mut u64, work: impl FnOnce(&mut Cache, &mut u64) -> T) -> T {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let before = clears(&cache);
        let done = work(&mut cache, steps);
        let cleared = clears(&cache).saturating_sub(before);
        *steps = steps.saturating_add(cleared.saturating_mul(STEPS_OF_A_CLEAR));
        done
    }

    fn whole(&self, bytes: &[u8], steps: &mut u64) -> bool {
        self.anchored(bytes, 0, bytes.len(), steps) == Some(bytes.len())
    }

    /// Where a match ends that begins at `start`, at `limit` or before. Counts its steps.
    fn anchored(&self, bytes: &[u8], start: usize, limit: usize, steps: &mut u64) -> Option<usize> {
        let input = Input::new(bytes).span(start..bytes.len()).anchored(Anchored::Yes);
        let dfa = self.regex.forward();
        self.with_cache(steps, |cache, steps| {
            let cache = cache.as_parts_mut().0;
            let mut state = dfa.start_state_forward(cache, &input).ok()?;
            let mut end = None;
            for (at, byte) in bytes.iter().enumerate().take(limit).skip(start) {
                *steps = steps.saturating_add(1);
                state = dfa.next_state(cache, state, *byte).ok()?;
                if state.is_dead() {
                    return end;
                }
                // A match is known one byte late.
                if state.is_match() {
                    end = Some(at);
                }
            }
            let last = match bytes.get(limit) {
                Some(byte) => dfa.next_state(cache, state, *byte).ok()?,
                None => dfa.next_eoi_state(cache, state).ok()?,
            };
            if last.is_match() { Some(limit) } else { end }
        })
    }

    fn step(&self, bytes: &[u8], at: usize, steps: &mut u64) -> Step {
        if !self.walk(bytes, at, TRY, steps) {
            return Step::Skip(at.saturating_add(1));
        }
        match self.bounded(bytes, at, steps) {
            Some(end) => Step::Match(at, end),
            None => self.search(bytes, at.saturating_add(1), steps),
        }
    }

    /// Where a match ends that begins at `start`.
    fn bounded(&self, bytes: &[u8], start: usize, steps: &mut u64) -> Option<usize> {
        let limit = start.saturating_add(LONGEST_CUSTOM_MATCH).min(bytes.len());
        self.anchored(bytes, start, limit, steps).filter(|end| *end > start)
    }

    /// Searches one window.
    fn search(&self, bytes: &[u8], at: usize, steps: &mut u64) -> Step {
        let end = at.saturating_add(WINDOW).min(bytes.len());
        // Where a match that begins is not cut by the end of the window.
        let covered = if end == bytes.len() { end } else { end.saturating_sub(LONGEST_CUSTOM_MATCH) };
        let found = self
            .with_cache(steps, |cache, _| self.regex.find(cache, Input::new(bytes).span(at.min(end)..end)));
        *steps = steps.saturating_add(u64::try_from(end.saturating_sub(at)).unwrap_or(0));
        let Some(start) = found.map(|found| found.start()).filter(|start| *start < covered) else {
            return Step::Skip(covered);
        };
        match self.bounded(bytes, start, steps) {
            Some(end) => Step::Match(start, end),
            None => Step::Skip(start.saturating_add(1)),
        }
    }

    /// Whether the automaton is alive `most` bytes after `at`, or at the end of the text.
    fn walk(&self, bytes: &[u8], at: usize, most: usize, steps: &mut u64) -> bool {
        let limit = at.saturating_add(most.min(LONGEST_CUSTOM_MATCH));
        let part = bytes.get(at..limit.min(bytes.len())).unwrap_or_default();
        let input = Input::new(bytes).span(at..bytes.len()).anchored(Anchored::Yes);
        let dfa = self.regex.forward();
        self.with_cache(steps, |cache, steps| {
            let cache = cache.as_parts_mut().0;
            let Ok(mut state) = dfa.start_state_forward(cache, &input) else { return true };
            for byte in part {
                *steps = steps.saturating_add(1);
                match dfa.next_state(cache, state, *byte) {
                    Ok(next) if next.is_dead() => return false,
                    // A match is known one byte late.
                    Ok(next) if next.is_match() && most == TRY => return true,
                    Ok(next) => state = next,
                    Err(_) => return true,
                }
            }
            // A match that reaches its limit is cut there: it is decided.
            most == TRY || limit >= bytes.len()
        })
    }

    fn longest_walk(&self, preferred: &[u8], steps: &mut u64) -> Vec<u8> {
        let others: Vec<u8> = (0..128).collect();
        let dfa = self.regex.forward();
        let mut text = Vec::new();
        self.with_cache(steps, |cache, steps| {
            let cache = cache.as_parts_mut().0;
            let input = Input::new("").anchored(Anchored::Yes);
            let Ok(mut state) = dfa.start_state_forward(cache, &input) else { return };
            while text.len() < 2 * LONGEST_CUSTOM_MATCH {
                let bytes = preferred.iter().chain(&others);
                let Some((byte, next)) = alive(dfa, cache, state, bytes, steps) else { break };
                text.push(byte);
                state = next;
            }
        });
        text
    }

    /// Pseudo-random, and the same each time.
    fn random_walk(&self, length: usize, steps: &mut u64) -> Vec<u8> {
        let dfa = self.regex.forward();
        let mut alphabet: Vec<u8> =
            dfa.byte_classes().representatives(b' '..=b'~').filter_map(|unit| unit.as_u8()).collect();
        let mut random: u64 = 1;
        let mut text = Vec::new();
        self.with_cache(steps, |cache, steps| {
            let cache = cache.as_parts_mut().0;
            let input = Input::new("").anchored(Anchored::Yes);
            let mut state = None;
            for _ in 0..length.saturating_mul(2) {
                if text.len() >= length {
                    break;
                }
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let turn = usize::try_from(random.wrapping_shr(33)).unwrap_or(0);
                let turn = turn.checked_rem(alphabet.len()).unwrap_or(0);
                alphabet.rotate_left(turn);
                let Some(from) = state.or_else(|| dfa.start_state_forward(cache, &input).ok()) else { break };
                match alive(dfa, cache, from, alphabet.iter(), steps) {
                    Some((byte, next)) => {
                        text.push(byte);
                        state = Some(next);
                    }
                    None => state = None,
                }
            }
        });
        text
    }
}

/// The first of these bytes after which the automaton is alive, and how it is then. Counts its steps. None, too,
/// where `state` was thrown away meanwhile.
fn alive<'a>(
    dfa: &dfa::DFA,
    cache: &mut dfa::Cache,
    state: LazyStateID,
    bytes: impl Iterator<Item = &'a u8>,
    steps: &mut u64,
) -> Option<(u8, LazyStateID)> {
    let clears = cache.clear_count();
    for byte in bytes {
        *steps = steps.saturating_add(1);
        let next = dfa.next_state(cache, state, *byte).ok()?;
        if !next.is_dead() && !next.is_quit() {
            return Some((*byte, next));
        }
        if cache.clear_count() != clears {
            return None;
        }
    }
    None
}

//! Plays seeds: `cargo run -p sim -- --seed 7` tells one, `--seeds 0..300` looks for faults.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use sim::plan::Plan;
use sim::play::{Telling, catch_panics, play, shrink};
use sim::tally::Tally;

const USAGE: &str = "usage: sim --seed N | --seeds FROM..TO | --plan FILE
    --steps N      operations of each run (2000)
    --seconds N    begins no further run after so many seconds
    --first        stops at the first fault
    --tally        says how often each kind of thing has happened
    --no-shrink    prints the plan that failed as it is";

struct Arguments {
    seed: Option<u64>,
    seeds: Option<(u64, u64)>,
    plan: Option<String>,
    steps: usize,
    seconds: Option<u64>,
    shrinks: bool,
    stops: bool,
    tallies: bool,
}

fn main() -> ExitCode {
    let arguments = match read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    catch_panics();
    if let Some((from, to)) = arguments.seeds {
        return look_for_faults(from, to, &arguments);
    }
    let plan = match (&arguments.plan, arguments.seed) {
        (Some(file), _) => {
            match std::fs::read_to_string(file)
                .map_err(|error| error.to_string())
                .and_then(|text| Plan::parse(&text))
            {
                Ok(plan) => plan,
                Err(error) => {
                    eprintln!("{file}: {error}");
                    return ExitCode::from(2);
                }
            }
        }
        (None, Some(seed)) => Plan::of_seed(seed, arguments.steps),
        (None, None) => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let outcome = play(&plan, Telling::Printed);
    let Some(fault) = outcome.fault else {
        println!("seed {}: no fault in {} operations", plan.seed, plan.operations.len());
        return ExitCode::SUCCESS;
    };
    println!("FAULT {fault}");
    if arguments.shrinks && arguments.plan.is_none() {
        tell_fault(&plan, &fault, true);
    }
    ExitCode::FAILURE
}

fn look_for_faults(from: u64, to: u64, arguments: &Arguments) -> ExitCode {
    let start = Instant::now();
    let (mut steps, mut events, mut runs, mut faults) = (0, 0, 0_u64, 0_u64);
    let mut tally = Tally::default();
    for seed in from..to {
        let limit = arguments.seconds.map(Duration::from_secs);
        if limit.is_some_and(|limit| start.elapsed() > limit) {
            break;
        }
        let plan = Plan::of_seed(seed, arguments.steps);
        let outcome = play(&plan, Telling::Silent);
        runs += 1;
        steps += plan.operations.len();
        events += outcome.events;
        tally += &outcome.tally;
        if let Some(fault) = outcome.fault {
            faults += 1;
            tell_fault(&plan, &fault, arguments.shrinks);
            if arguments.stops {
                break;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if arguments.tallies {
        tally.rows().iter().for_each(|(words, times)| println!("{times:9} {words}"));
    }
    let rate = steps as f64 / seconds;
    println!(
        "{runs} seeds, {steps} steps, {events} events, {seconds:.1} s: {rate:.0} steps/s; {faults} faults"
    );
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell_fault(plan: &Plan, fault: &str, shrinks: bool) {
    println!("FAULT seed {}: {fault}", plan.seed);
    if shrinks {
        let short = shrink(plan, 3_000);
        let left = short.operations.len();
        println!("# {left} of {} operations are enough:\n{short}", plan.operations.len());
        println!(
            "# replay: cargo run -p sim -- --plan FILE with these lines, or --seed {}",
            plan.seed
        );
    }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seed: None,
        seeds: None,
        plan: None,
        steps: 2_000,
        seconds: None,
        shrinks: true,
        stops: false,
        tallies: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--no-shrink" => {
                arguments.shrinks = false;
                continue;
            }
            "--tally" => {
                arguments.tallies = true;
                continue;
            }
            "--first" => {
                arguments.stops = true;
                continue;
            }
            _ => {}
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number =
            || value.parse::<u64>().map_err(|_| format!("{word} {value}: a number is needed"));
        match word.as_str() {
            "--seed" => arguments.seed = Some(number()?),
            "--seeds" => {
                let range = value
                    .split_once("..")
                    .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
                arguments.seeds = Some(range.ok_or_else(|| format!("{word} {value}: FROM..TO"))?);
            }
            "--plan" => arguments.plan = Some(value),
            "--steps" => arguments.steps = number()? as usize,
            "--seconds" => arguments.seconds = Some(number()?),
            _ => return Err(format!("{word} is unknown")),
        }
    }
    Ok(arguments)
}

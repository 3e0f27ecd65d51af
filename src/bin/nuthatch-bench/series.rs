//! What runs if nobody says what: sets, gets and a mix of both, one after another.

use crate::failure::Failure;
use crate::output::print;
use crate::plan::{Plan, Workload};
use crate::report;
use crate::run;
use std::time::Duration;

/// How long each run takes: percentiles have settled by then, and a person still waits for it.
const DURATION: Duration = Duration::from_secs(3);

/// Of the mix, the share of gets: caches are read more often than written.
const GET_SHARE: f64 = 0.9;

/// One of the runs.
struct Run {
    name: &'static str,
    about: &'static str,
    plan: Plan,
}

/// Runs all of them, and prints each result once it is known.
pub(crate) fn run(plan: &Plan, json: bool) -> Result<(), Failure> {
    if !json && !print(&opening(plan))? {
        return Ok(());
    }
    for run in runs(plan) {
        let outcome = run::measure(&run.plan, run.name)?;
        let text = if json {
            report::json(Some(run.name), &outcome)
        } else {
            let summary = report::summary(&run.plan, &outcome);
            format!("\n{}: {}\n{summary}", run.name, run.about)
        };
        if !print(&text)? {
            break;
        }
    }
    Ok(())
}

fn opening(plan: &Plan) -> String {
    format!(
        "Three runs of {} s each, over {}\n{}\nEvery key is stored first, and stays in the server. \
         See --help for other loads.\n",
        DURATION.as_secs(),
        report::clients(plan),
        report::content(plan),
    )
}

/// The first of them stores every key before it begins.
fn runs(plan: &Plan) -> [Run; 3] {
    let mix = Workload::Mixed {
        get_share: GET_SHARE,
    };
    [
        ("set", "values are stored", Workload::Set),
        ("get", "stored values are read", Workload::Get),
        ("mix", "9 of 10 requests are gets, 1 is a set", mix),
    ]
    .map(|(name, about, workload)| Run {
        name,
        about,
        plan: Plan {
            workload,
            prefill: workload == Workload::Set,
            requests: None,
            duration: Some(DURATION),
            ..plan.clone()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stored_before_the_first_run_and_not_again() {
        let [set, get, mix] = runs(&Plan::example());
        assert_eq!([set.name, get.name, mix.name], ["set", "get", "mix"]);
        assert_eq!(set.plan.workload, Workload::Set);
        assert_eq!(get.plan.workload, Workload::Get);
        let prefilled = [set, get, mix].map(|run| run.plan.prefill);
        assert_eq!(prefilled, [true, false, false]);
    }
}

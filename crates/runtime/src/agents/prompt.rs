//! What agents are told, in words.

use backstay_engine::run::{Opening, Predecessor, Prompt};

/// The text of a prompt. `schema` is the JSON Schema that the answer has to match.
pub(crate) fn prompt_text(prompt: &Prompt, schema: Option<&str>) -> String {
    let task = &prompt.task;
    match &prompt.opening {
        Opening::First => task.clone(),
        Opening::Interrupted { by_person: true } => format!(
            "You were interrupted, and a person worked in this session and in this folder meanwhile. Look at what was said and done, and go on with the task from there.\n\nThe task:\n\n{task}"
        ),
        Opening::Interrupted { by_person: false } => format!(
            "You were interrupted. Go on with the task from where you are, and look at what is done already before you do anything again.\n\nThe task:\n\n{task}"
        ),
        Opening::HandedOver(predecessor) => handed_over(predecessor, task),
        Opening::Rejected { problem, knows_task, predecessor } => {
            let task = match (knows_task, predecessor) {
                (true, _) => String::new(),
                (false, Some(predecessor)) => format!("{}\n\n", handed_over(predecessor, task)),
                (false, None) => format!("{task}\n\n"),
            };
            let schema = schema
                .map_or_else(String::new, |schema| format!(" It has to match this JSON Schema: {schema}"));
            format!(
                "{task}Your last answer cannot be used: {problem}\n\nAnswer again, with one JSON value and nothing around it.{schema}"
            )
        }
    }
}

/// The task as the successor of an agent is told it.
fn handed_over(predecessor: &Predecessor, task: &str) -> String {
    let Predecessor { agent, message, tools } = predecessor;
    let tools = match tools {
        0 => String::new(),
        1 => " It used 1 tool.".to_owned(),
        many => format!(" It used {many} tools."),
    };
    let message = match message.trim() {
        "" => String::new(),
        message => {
            let quoted: Vec<String> = message.lines().map(|line| format!("> {line}")).collect();
            format!(" Its last message:\n\n{}", quoted.join("\n"))
        }
    };
    format!(
        "Another agent, {agent}, began this task and could not finish it. What it changed is in the working folder.{tools}{message}\n\nLook at what is done already before you do anything again, and go on with the task from there.\n\nThe task:\n\n{task}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(opening: Opening) -> String {
        prompt_text(&Prompt { task: "Do it.".to_owned(), opening }, Some("{}"))
    }

    fn codex(message: &str, tools: u32) -> Predecessor {
        Predecessor { agent: "codex".to_owned(), message: message.to_owned(), tools }
    }

    #[test]
    fn an_agent_is_told_its_task_and_why_it_hears_of_it_again() {
        assert_eq!(text(Opening::First), "Do it.");
        for (by_person, begins) in [
            (false, "You were interrupted. Go on with the task from where you are"),
            (true, "You were interrupted, and a person worked in this session and in this folder meanwhile."),
        ] {
            let told = text(Opening::Interrupted { by_person });
            assert!(told.starts_with(begins) && told.ends_with("The task:\n\nDo it."), "{told}");
        }
    }

    #[test]
    fn an_agent_that_takes_over_is_told_what_was_done() {
        assert_eq!(
            text(Opening::HandedOver(codex("Half of it\nis done.", 1))),
            "Another agent, codex, began this task and could not finish it. What it changed is in the working folder. It used 1 tool. Its last message:\n\n> Half of it\n> is done.\n\nLook at what is done already before you do anything again, and go on with the task from there.\n\nThe task:\n\nDo it."
        );
        let silent = text(Opening::HandedOver(codex(" ", 2)));
        assert!(silent.contains("folder. It used 2 tools.\n\nLook"), "{silent}");
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_asked_for_again_with_its_schema_once() {
        let rejected = |knows_task, predecessor| {
            text(Opening::Rejected { problem: "no".to_owned(), knows_task, predecessor })
        };
        let again = "Your last answer cannot be used: no\n\nAnswer again, with one JSON value and nothing around it. It has to match this JSON Schema: {}";
        assert_eq!(rejected(true, None), again);
        assert_eq!(rejected(false, None), format!("Do it.\n\n{again}"));
        let told = rejected(false, Some(codex("", 1)));
        assert!(told.starts_with("Another agent, codex,") && told.ends_with(again), "{told}");
    }
}

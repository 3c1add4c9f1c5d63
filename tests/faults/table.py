"""Every tested fault, the run's reaction, and the test that shows it.

Printed by `python -m tests.faults.table`; the manual's page on reliability has the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, the run's reaction, and its test: `file::function` under tests/."""

    what: str
    then: str
    shown_by: str


FAULTS: Final = (
    Fault(
        "NaN or Inf in a loss term",
        "the step changes nothing and its term is named; the next step trains normally",
        "faults/test_numbers.py::test_a_bad_value_in_each_loss_term_costs_its_own_step_and_no_other",
    ),
    Fault(
        "NaN or Inf in a module's gradient",
        "the step changes nothing and the module is named",
        "faults/test_numbers.py::test_a_bad_gradient_of_each_module_costs_its_own_step_and_no_other",
    ),
    Fault(
        "NaN or Inf in the input",
        "the replay names the input and the samples of the batch",
        "faults/test_numbers.py::test_a_bad_pixel_is_named_with_the_samples_of_its_batch",
    ),
    Fault(
        "NaN or Inf in a weight or an optimizer moment",
        "the guardian rolls back to the last good checkpoint",
        "faults/test_numbers.py::test_a_bad_weight_or_moment_is_taken_back_to_the_last_good_checkpoint",
    ),
    Fault(
        "a loss of 1e30",
        "finite: the step is clipped, not skipped",
        "faults/test_numbers.py::test_a_loss_of_1e30_is_finite_and_is_clipped_not_skipped",
    ),
    Fault(
        "overflow of fp16",
        "the step is skipped, the loss scale halves, the run continues",
        "faults/test_numbers.py::test_an_overflow_of_fp16_lowers_the_scale_and_the_run_goes_on",
    ),
    Fault(
        "NaN or Inf in a validation alone",
        "an alert names terms and samples; the validation is never the best one and blocks the gate",
        "faults/test_rot.py::test_a_validation_that_is_not_finite_is_an_alert_is_never_the_best_and_closes_the_gate",
    ),
    Fault(
        "NaN in the weights after the last update of the run",
        "exit code 1 and one sentence; a resume starts from the last good checkpoint",
        "faults/test_rot.py::test_weights_that_the_last_update_spoilt_are_no_good_end",
    ),
    Fault(
        "every sample excluded",
        "the run stops with exit code 1: no samples are left",
        "faults/test_rot.py::test_a_run_whose_samples_are_all_excluded_does_not_end_well",
    ),
    Fault(
        "a fault that repeats in every step",
        "rollback and half the rate, at most three times; then the component to blame goes off, or the run stops",
        "runtime/test_guardian.py::test_the_term_that_stays_bad_loses_its_refinement_and_the_run_goes_on",
    ),
    Fault(
        "a fault that no remedy fixes",
        "the run stops with exit code 1 and names term, module and operation",
        "runtime/test_guardian.py::test_where_nothing_helps_the_run_stops_with_a_diagnosis",
    ),
    Fault(
        "an error of the task's own data, losses or scores",
        "a checkpoint of the last step, exit code 1, the traceback in `console.log`; `--resume` continues exactly",
        "faults/test_task_errors.py::test_an_error_of_the_task_leaves_a_checkpoint_and_the_resume_is_exact",
    ),
    Fault(
        "a corrupt image",
        "another sample replaces it; the file is named once",
        "faults/test_files.py::test_an_image_that_goes_bad_in_the_middle_of_a_run_costs_its_samples",
    ),
    Fault(
        "masks that are lossy, smoothed or in colours",
        "refused by name; the meaning of the values is decided for all other masks together",
        "tasks/person/data/readers/masks/test_kinds.py::test_a_smoothed_mask_is_refused",
    ),
    Fault(
        "data that can be read but may mean something else: boxes, masks, rotations, the same images in both splits",
        "an alert at the start and a line of `data inspect`, each with an example",
        "tasks/person/data/checks/test_doubts.py::test_masks_that_are_something_else_are_doubted_with_an_example",
    ),
    Fault(
        "a COCO file changed in 2,000 ways: values of other types, cut short, bytes replaced",
        "unambiguous annotations are read; the rest is named, counted and left out",
        "tasks/person/data/readers/coco/test_mutations.py::test_no_mutation_of_a_coco_file_ends_in_a_traceback",
    ),
    Fault(
        "several images with one id, or a file name that matches several files",
        "named; those images are left out",
        "tasks/person/data/readers/coco/test_types.py::test_images_with_a_repeated_id_are_named_and_refused",
    ),
    Fault(
        "data that changed under the same name between the end of a run and its resume",
        "an alert, `changed data`: the numbers of samples, or that names, boxes, outlines or files are others",
        "runtime/start/test_resume.py::test_data_that_changed_under_the_same_name_are_said_at_the_resume",
    ),
    Fault(
        "a named pipe or a device among the images",
        "named and left out; nothing waits for it",
        "tasks/person/data/readers/test_pixels.py::test_a_pipe_in_place_of_a_file_is_reported_and_not_waited_for",
    ),
    Fault(
        "the data become unreachable (a disk unmounted) and return",
        "an alert; the run waits, can be steered, and continues bit for bit",
        "faults/test_data_gone.py::test_data_that_come_back_cost_nothing_but_the_time",
    ),
    Fault(
        "the data are unreachable for `data.wait_seconds`",
        "a checkpoint, one sentence, exit code 1; `--resume` continues from there",
        "faults/test_data_gone.py::test_data_that_stay_away_end_the_run_with_a_checkpoint_and_it_goes_on_from_there",
    ),
    Fault(
        "a data worker that is stopped, or blocked by a disk",
        "named in an alert and replaced after `data.timeout_seconds`; signals and commands still work",
        "faults/test_data_gone.py::test_a_worker_that_is_stuck_is_named_and_replaced_and_no_bit_changes",
    ),
    Fault(
        "a resume that cannot start: data, weights, options, device",
        "one sentence, exit code 2; no byte of the run is changed",
        "runtime/start/test_resume.py::test_a_resume_that_cannot_start_changes_no_byte_of_the_run",
    ),
    Fault(
        "a run whose journal was deleted",
        "listed as such; `--resume` continues from its checkpoints with a new journal",
        "runtime/start/test_resume.py::test_a_run_without_its_journal_is_listed_and_goes_on_from_its_checkpoints",
    ),
    Fault(
        "a start that is killed before the first step",
        "its name can be used again",
        "runtime/start/test_resume.py::test_a_run_that_was_cut_off_before_its_first_step_is_begun_again",
    ),
    Fault(
        "a data worker killed",
        "replaced; the run continues bit for bit",
        "faults/test_files.py::test_a_data_worker_that_is_killed_changes_no_bit_of_the_run",
    ),
    Fault(
        "every data worker dies on one batch",
        "a checkpoint, one sentence that names samples and signal or exit code, exit code 1",
        "faults/test_memory.py::test_a_batch_that_kills_every_worker_ends_the_run_with_a_checkpoint_and_a_sentence",
    ),
    Fault(
        "memory runs out before the first step",
        "one sentence that names the key to lower, exit code 2",
        "faults/test_memory.py::test_a_configuration_that_needs_too_much_memory_is_refused",
    ),
    Fault(
        "memory runs out in a step",
        "the step is undone and repeated with half the batch size and twice the accumulation; an alert has the numbers",
        "faults/test_halving.py::test_memory_that_runs_out_in_a_step_halves_the_batch_and_changes_no_update",
    ),
    Fault(
        "memory runs out in a step of one sample",
        "one sentence with the numbers; exit code 2 at the first step, else a checkpoint and 1; `--resume` continues",
        "faults/test_halving.py::test_one_sample_that_does_not_fit_is_refused_at_the_first_step",
    ),
    Fault(
        "memory runs out in a validation",
        "the batch is measured in halves, down to one sample, with the same scores; an alert has the numbers",
        "faults/test_short_validation.py::test_a_validation_is_measured_in_parts_and_has_the_same_scores",
    ),
    Fault(
        "memory runs out while the data of a validation are prepared",
        "they are prepared in halves, down to one sample, with the same scores; an alert has the numbers",
        "faults/test_short_validation.py::test_data_of_a_validation_are_prepared_in_parts_and_the_scores_are_the_same",
    ),
    Fault(
        "memory runs out in a validation of one sample",
        "a checkpoint, one sentence with the numbers, exit code 1; `--resume` continues from there",
        "faults/test_short_validation.py::test_a_validation_of_which_no_sample_fits_ends_with_one_sentence",
    ),
    Fault(
        "disk full for some time: checkpoints, journal, TensorBoard, log",
        "the run continues; journal rows wait and are all written when there is space",
        "faults/test_disk.py::test_a_disk_that_is_full_for_a_while_costs_nothing_but_the_checkpoints_of_that_while",
    ),
    Fault(
        "disk full to the end",
        "exit code 1 and one sentence; `--resume` continues from the last checkpoint that was written",
        "faults/test_disk.py::test_a_disk_that_stays_full_ends_no_run_and_what_was_written_can_be_resumed",
    ),
    Fault(
        "disk full at a rollback",
        "the rollback is refused, and the run continues",
        "faults/test_disk.py::test_a_rollback_that_a_full_disk_prevents_is_refused_and_the_run_goes_on",
    ),
    Fault(
        "SIGKILL at 10 random moments (30 with `-m slow`), also while a checkpoint is written",
        "resumed each time; the result is identical to the last bit with a run that was not killed",
        "faults/test_kills.py::test_a_run_killed_many_times_ends_with_the_bits_of_one_that_was_not",
    ),
    Fault(
        "SIGTERM, SIGHUP, SIGINT",
        "the step is finished, a checkpoint written; exit code 143, 129, 130",
        "test_main.py::test_a_signal_finishes_the_step_writes_a_checkpoint_and_sums_up",
    ),
    Fault(
        "the same at any moment of the first three seconds, or after the end",
        "the same exit codes; the terminal is restored, no process remains",
        "e2e/test_signals.py::test_a_signal_ends_a_run_at_every_moment_of_its_first_three_seconds",
    ),
    Fault(
        "SIGHUP under `nohup`, or with `--keep-running`",
        "the run continues",
        "e2e/test_signals.py::test_a_hang_up_that_is_ignored_at_the_start_stays_ignored",
    ),
    Fault(
        "journal, its log, or the run directory deleted, moved or replaced while it trains",
        "an alert; the journal is written again with all its rows, files of other programs are kept, the run continues",
        "journal/test_vanished.py::test_the_journal_is_written_again_with_its_rows_and_the_run_goes_on",
    ),
    Fault(
        "checkpoints deleted while it trains",
        "an alert; deleted checkpoints are no longer offered, a new one is written",
        "faults/test_vanished.py::test_checkpoints_that_are_deleted_are_said_and_one_is_written_in_their_place",
    ),
    Fault(
        "a network disk that does not answer while the checkpoints are listed",
        "an alert, and nothing is taken for deleted; a rollback is refused with the reason; the run continues",
        "faults/test_unlisted.py::test_a_disk_that_does_not_answer_ends_no_run_and_refuses_a_rollback",
    ),
    Fault(
        "standard streams closed or full, or a pipe whose reader ends",
        "the run trains without a console; a command reports it, exit code 1",
        "e2e/test_standard_streams.py::test_a_run_trains_without_a_console",
    ),
    Fault(
        "SIGINT twice",
        "an immediate end; the terminal is restored",
        "test_main.py::test_a_second_interrupt_ends_at_once",
    ),
    Fault(
        "journal locked by another process",
        "no step waits; afterwards every row is written",
        "faults/test_doors.py::test_a_journal_that_another_process_locks_holds_up_no_step_and_loses_no_row",
    ),
    Fault(
        "the clock set back by a day",
        "no effect: the order is that of the journal, not of the clock",
        "faults/test_doors.py::test_a_clock_that_steps_back_by_a_day_disturbs_nothing",
    ),
    Fault(
        "two processes on one run",
        "the second is refused, exit code 2; the first is not affected",
        "faults/test_doors.py::test_a_second_process_on_the_run_is_refused_and_the_first_one_trains_on",
    ),
    Fault(
        "10,000 commands sent together",
        "10,000 answers; the run continues",
        "faults/test_doors.py::test_each_of_very_many_commands_gets_its_answer_and_the_run_trains_on",
    ),
    Fault(
        "a read-only run directory",
        "can be read; a resume ends with one sentence, exit code 2",
        "faults/test_doors.py::test_a_run_in_a_read_only_directory_is_read_and_not_resumed",
    ),
    Fault(
        "a checkpoint truncated, bit-flipped or foreign",
        "skipped in favour of the one before, which the journal records; the run continues bit for bit",
        "faults/test_files.py::test_a_resume_passes_over_a_bad_checkpoint_and_ends_the_same",
    ),
    Fault(
        "an intact checkpoint of another program: missing or unexpected fields, sparse, complex or huge tensors",
        "skipped at a resume; refused by `--init-from` with one sentence, without allocating memory",
        "training/checkpoint/test_content.py::test_a_checkpoint_that_is_whole_but_odd_is_passed_over_for_the_one_before",
    ),
    Fault(
        "another user's private run in a shared directory",
        "one sentence for that run; the others are listed and usable, `latest` too",
        "faults/test_shared_directories.py::test_a_private_run_is_one_sentence_for_every_command",
    ),
    Fault(
        "links, pipes and hard links planted in a run's directory",
        "never followed for writing or deleting: one sentence, exit code 2",
        "faults/test_shared_directories.py::test_nothing_is_written_or_deleted_behind_a_linked_directory",
    ),
    Fault(
        "a pickle bomb as a checkpoint",
        "refused (weights_only), nothing executed",
        "faults/test_files.py::test_a_run_is_not_begun_from_a_bad_checkpoint",
    ),
    Fault(
        "hostile YAML",
        "one sentence, exit code 2, nothing executed, no file left",
        "faults/test_files.py::test_hostile_yaml_gets_one_sentence",
    ),
    Fault(
        "names with newlines, escapes and markup",
        "refused as a run's name, or shown as plain text",
        "faults/test_files.py::test_a_run_cannot_bear_a_name_that_moves_the_cursor_or_leaves_its_folder",
    ),
)


def rows() -> list[str]:
    """Return the rows of the table, as the manual has them."""
    return [f"| {fault.what} | {fault.then} |" for fault in FAULTS]


if __name__ == "__main__":
    print("\n".join(["| fault | what happens |", "|---|---|", *rows()]))

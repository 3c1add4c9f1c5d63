#!/bin/bash
#SBATCH --job-name=people
#SBATCH --time=4:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=USR2@120
# Slurm keeps the job's number when it queues the job again: the run has it in its name, and goes on.
RUN=job-$SLURM_JOB_ID
if [ -d "runs/$RUN" ]; then
    srun python main.py --no-ui --resume "$RUN"
else
    srun python main.py --no-ui --run "$RUN" --config tiny
fi
CODE=$?
if [ $CODE -eq 85 ]; then # the time was over: there is more to train
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $CODE

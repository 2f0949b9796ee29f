
# ---- the environment of the ranks: adapt these lines to your site ----------------
# module purge
# module load python/3.12 openmpi/5.0
# source "$HOME/venvs/mpidbo/bin/activate"
@mpidbo

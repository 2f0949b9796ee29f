
# ---- the environment of the ranks: change these lines to what your site has ----
# module purge
# module load python/3.12 openmpi/5.0
# source "$HOME/venvs/mpidbo/bin/activate"
@mpidbo


# ---- the environment of the ranks: adapt these lines to your site ----------------
@modules
# source "$HOME/venvs/mpidbo/bin/activate"
@mpidbo

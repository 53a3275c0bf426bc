PATH=/opt/alps/bin:$PATH
